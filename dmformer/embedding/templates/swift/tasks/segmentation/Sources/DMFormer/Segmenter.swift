// Images in, a class for every pixel out.
#if canImport(CoreML)
import CoreGraphics
import Foundation
import ImageIO

/// One engine behind one call. Core ML takes predictions from several threads.
public final class Segmenter {
    private let engine: Engine

    public init(engine: Engine) {
        self.engine = engine
    }

    public convenience init() throws {
        self.init(engine: try Engine())
    }

    public func predict(_ image: PixelImage) throws -> Segmentation {
        try Segmentation(engine.output(image), width: image.width, height: image.height)
    }
}

extension PixelImage {
    /// Writes an RGB image as a PNG.
    public func writePNG(_ url: URL) throws {
        guard channels == 3, let provider = CGDataProvider(data: Data(pixels) as CFData),
            let image = CGImage(
                width: width, height: height, bitsPerComponent: 8, bitsPerPixel: 24, bytesPerRow: 3 * width,
                space: CGColorSpaceCreateDeviceRGB(), bitmapInfo: CGBitmapInfo(rawValue: 0), provider: provider,
                decode: nil, shouldInterpolate: false, intent: .defaultIntent),
            let file = CGImageDestinationCreateWithURL(url as CFURL, "public.png" as CFString, 1, nil)
        else {
            throw ClassifierError("\(url.path): cannot be written")
        }
        CGImageDestinationAddImage(file, image, nil)
        guard CGImageDestinationFinalize(file) else { throw ClassifierError("\(url.path): cannot be written") }
    }
}
#endif
