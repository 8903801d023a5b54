// The class of every pixel of an image: as shares, and as colours.
import Foundation

public struct Share {
    public let index: Int
    public let label: String
    /// Of the image's pixels, 0 to 1.
    public let share: Double
}

public struct Segmentation {
    public let width: Int
    public let height: Int
    /// Row by row.
    public let classes: [Int]

    /// Of what the engine gave for its input, at each pixel of the image the nearest; padding is left out.
    ///
    /// Throws where a class is none.
    init(_ given: [Float], width: Int, height: Int) throws {
        let spec = Parameters.preprocessing
        let place = try spec.placement(width: width, height: height)
        let rows = Segmentation.nearest(place.top, place.height, height, spec.height)
        let columns = Segmentation.nearest(place.left, place.width, width, spec.width)
        let classes = rows.flatMap { row in columns.map { Int(given[row * spec.width + $0]) } }
        guard classes.allSatisfy({ (0..<Parameters.classes).contains($0) }) else {
            throw ClassifierError("the package gives a class that is none")
        }
        self.width = width
        self.height = height
        self.classes = classes
    }

    private static func nearest(_ start: Int, _ length: Int, _ pixels: Int, _ side: Int) -> [Int] {
        (0..<pixels).map { at in
            let place = Double(start) + (Double(at) + 0.5) * Double(length) / Double(pixels)
            return min(side - 1, max(0, Int(place.rounded(.down))))
        }
    }

    /// The classes that are there, the largest first.
    public var shares: [Share] {
        var counts = [Int](repeating: 0, count: Parameters.classes)
        for index in classes { counts[index] += 1 }
        let order = counts.indices.filter { counts[$0] > 0 }.sorted { (counts[$0], -$0) > (counts[$1], -$1) }
        return order.map {
            Share(index: $0, label: Parameters.labels[$0], share: Double(counts[$0]) / Double(classes.count))
        }
    }

    /// The image with the classes' colours over it, and a white line where classes meet: RGB.
    ///
    /// Throws where the image has another size.
    public func overlay(_ image: PixelImage, opacity: Double = 0.5) throws -> PixelImage {
        guard image.width == width, image.height == height, image.channels == 3 else {
            throw ClassifierError("the image is not the one that was segmented")
        }
        var made = PixelImage(width: width, height: height, channels: 3)
        for y in 0..<height {
            for x in 0..<width {
                let at = y * width + x
                let right = x + 1 < width && classes[at + 1] != classes[at]
                let edge = right || (y + 1 < height && classes[at + width] != classes[at])
                let colour = Parameters.palette[classes[at]]
                for c in 0..<3 {
                    let mixed = Double(image.pixels[3 * at + c]) * (1 - opacity) + Double(colour[c]) * opacity
                    made.pixels[3 * at + c] = edge ? 255 : UInt8(mixed.rounded(.toNearestOrEven))
                }
            }
        }
        return made
    }
}
