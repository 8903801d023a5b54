// Image files by ImageIO. Pixels are taken as they are stored: no colour matching, alpha dropped and not blended.
#if canImport(ImageIO)
import CoreGraphics
import Foundation
import ImageIO

extension PixelImage {
    /// Reads an image file, upright (EXIF). A header is looked at before anything is decoded.
    public init(contentsOf url: URL, maxPixels: Int = PixelImage.maxPixels) throws {
        guard let source = CGImageSourceCreateWithURL(url as CFURL, nil) else {
            throw ClassifierError("\(url.path): cannot be read")
        }
        try self.init(source, name: url.path, maxPixels: maxPixels)
    }

    /// The same from the bytes of a file.
    public init(decoding data: Data, maxPixels: Int = PixelImage.maxPixels) throws {
        guard let source = CGImageSourceCreateWithData(data as CFData, nil) else {
            throw ClassifierError("the data is no image")
        }
        try self.init(source, name: "the data", maxPixels: maxPixels)
    }

    private init(_ source: CGImageSource, name: String, maxPixels: Int) throws {
        guard let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any],
            let width = properties[kCGImagePropertyPixelWidth] as? Int,
            let height = properties[kCGImagePropertyPixelHeight] as? Int, width > 0, height > 0
        else {
            throw ClassifierError("\(name): is no image")
        }
        guard width <= maxPixels / height else {
            throw ClassifierError("\(name): \(width)x\(height) pixels are more than the limit of \(maxPixels)")
        }
        guard let image = CGImageSourceCreateImageAtIndex(source, 0, nil),
            CGImageSourceGetStatusAtIndex(source, 0) == .statusComplete
        else {
            throw ClassifierError("\(name): is damaged")
        }
        let orientation = properties[kCGImagePropertyOrientation] as? Int ?? 1
        self = try PixelImage(image).upright(orientation)
    }

    /// An image of Core Graphics: its stored bytes where they are 8-bit grey or RGB, drawn otherwise.
    public init(_ image: CGImage) throws {
        if let stored = PixelImage.stored(image) {
            self = stored
        } else {
            self = try PixelImage.drawn(image)
        }
    }

    private static func stored(_ image: CGImage) -> PixelImage? {
        guard image.bitsPerComponent == 8, image.bitsPerPixel % 8 == 0, let model = image.colorSpace?.model,
            model == .rgb || model == .monochrome, let data = image.dataProvider?.data as Data?,
            data.count >= image.bytesPerRow * (image.height - 1) + image.width * image.bitsPerPixel / 8
        else { return nil }
        let channels = model == .rgb ? 3 : 1
        let size = image.bitsPerPixel / 8
        guard let places = places(image, channels: channels, size: size) else { return nil }
        var made = PixelImage(width: image.width, height: image.height, channels: channels)
        data.withUnsafeBytes { (bytes: UnsafeRawBufferPointer) in
            for y in 0..<image.height {
                for x in 0..<image.width {
                    let from = y * image.bytesPerRow + x * size
                    let to = made.row(y) + x * channels
                    for c in 0..<channels { made.pixels[to + c] = bytes[from + places[c]] }
                }
            }
        }
        return made
    }

    /// Where in a stored pixel the channels are; nil for what must be drawn.
    private static func places(_ image: CGImage, channels: Int, size: Int) -> [Int]? {
        let before: Int
        switch image.alphaInfo {
        case .none, .last, .noneSkipLast: before = 0
        case .first, .noneSkipFirst: before = 1
        default: return nil
        }
        guard before + channels <= size else { return nil }
        let straight = (0..<channels).map { before + $0 }
        switch image.byteOrderInfo {
        case .orderDefault, .order32Big: return straight
        case .order32Little: return size == 4 ? straight.map { 3 - $0 } : nil
        default: return nil
        }
    }

    /// By Core Graphics, in the image's own numbers where it is RGB or grey: no colour is matched then.
    private static func drawn(_ image: CGImage) throws -> PixelImage {
        let grey = image.colorSpace?.model == .monochrome
        let space = grey ? CGColorSpaceCreateDeviceGray() : CGColorSpaceCreateDeviceRGB()
        let given = image.copy(colorSpace: space) ?? image
        let size = grey ? 1 : 4
        let info = grey ? CGImageAlphaInfo.none : CGImageAlphaInfo.noneSkipLast
        var bytes = [UInt8](repeating: 0, count: image.width * image.height * size)
        let done = bytes.withUnsafeMutableBytes { (buffer: UnsafeMutableRawBufferPointer) -> Bool in
            guard let context = CGContext(
                data: buffer.baseAddress, width: image.width, height: image.height, bitsPerComponent: 8,
                bytesPerRow: image.width * size, space: space, bitmapInfo: info.rawValue)
            else { return false }
            context.draw(given, in: CGRect(x: 0, y: 0, width: image.width, height: image.height))
            return true
        }
        guard done else { throw ClassifierError("an image cannot be drawn") }
        return try PixelImage(width: image.width, height: image.height, channels: size, pixels: bytes)
    }
}
#endif
