// An image in memory.

/// Says in one line what is wrong, and with which file.
public struct ClassifierError: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// uint8 pixels, row by row, the channels of a pixel together: 1 channel is grey, 3 are RGB, 4 are RGB and alpha.
public struct PixelImage {
    /// Default limit of width times height, looked at before anything is decoded.
    public static let maxPixels = 64_000_000

    public let width: Int
    public let height: Int
    public let channels: Int
    public internal(set) var pixels: [UInt8]

    /// Throws where the pixels are not `width * height * channels`, or the channels not 1, 3 or 4.
    public init(width: Int, height: Int, channels: Int, pixels: [UInt8]) throws {
        guard [1, 3, 4].contains(channels) else {
            throw ClassifierError("an image has \(channels) channels, not 1, 3 or 4")
        }
        guard width > 0, height > 0, pixels.count == width * height * channels else {
            throw ClassifierError("an image has \(pixels.count) bytes, which is not \(width)x\(height)x\(channels)")
        }
        self.init(width: width, height: height, channels: channels, unchecked: pixels)
    }

    init(width: Int, height: Int, channels: Int, value: UInt8 = 0) {
        let pixels = [UInt8](repeating: value, count: width * height * channels)
        self.init(width: width, height: height, channels: channels, unchecked: pixels)
    }

    private init(width: Int, height: Int, channels: Int, unchecked pixels: [UInt8]) {
        self.width = width
        self.height = height
        self.channels = channels
        self.pixels = pixels
    }

    /// Index of the first sample of a row.
    func row(_ y: Int) -> Int { y * width * channels }

    /// The image turned upright, by EXIF's orientation 1 to 8.
    func upright(_ orientation: Int) -> PixelImage {
        guard (2...8).contains(orientation) else { return self }
        let turned = orientation >= 5
        var made = PixelImage(width: turned ? height : width, height: turned ? width : height, channels: channels)
        for y in 0..<made.height {
            for x in 0..<made.width {
                let (fromX, fromY) = source(x, y, orientation)
                let from = row(fromY) + fromX * channels
                let to = made.row(y) + x * channels
                for c in 0..<channels { made.pixels[to + c] = pixels[from + c] }
            }
        }
        return made
    }

    /// Where a pixel of the upright image comes from.
    private func source(_ x: Int, _ y: Int, _ orientation: Int) -> (Int, Int) {
        switch orientation {
        case 2: return (width - 1 - x, y)
        case 3: return (width - 1 - x, height - 1 - y)
        case 4: return (x, height - 1 - y)
        case 5: return (y, x)
        case 6: return (y, height - 1 - x)
        case 7: return (width - 1 - y, height - 1 - x)
        default: return (width - 1 - y, x)
        }
    }
}
