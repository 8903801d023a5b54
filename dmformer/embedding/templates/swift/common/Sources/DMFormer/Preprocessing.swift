// From an image to the tensor that the model takes: what dmformer's Python does.

public enum Resize { case exact, shorter, letterbox }

public enum ChannelOrder { case rgb, bgr, grey }

/// Where an image lies in the input, in pixels of the input.
struct Placement {
    let top: Int
    let left: Int
    let height: Int
    let width: Int
}

/// How an image becomes a model input; `Parameters.preprocessing` holds the bundle's.
public struct Preprocessing {
    let height: Int
    let width: Int
    let resize: Resize
    /// Of the resized image, for `shorter`: the centre is cut out of it.
    let shorterSide: Int
    let filter: Filter
    let order: ChannelOrder
    /// One per channel, as is `deviation`.
    let mean: [Float]
    let deviation: [Float]
    /// Padding of the letterbox.
    let fill: UInt8

    var channels: Int { order == .grey ? 1 : 3 }
    var elements: Int { channels * height * width }

    private static let maxResizedPixels = 1 << 27

    /// Pixels of the model's size: RGB or grey, whatever order the tensor has. A package with an image input takes them.
    ///
    /// Throws where the image is so elongated that resizing would exhaust memory.
    public func fit(_ image: PixelImage) throws -> PixelImage {
        let given = withChannels(image)
        switch resize {
        case .exact: return try bounded(given, width, height)
        case .shorter: return try shorterThenCrop(given)
        case .letterbox: return try letterbox(given)
        }
    }

    /// float32 [C, H, W]: (pixels / 255 - mean) / deviation.
    public func tensor(_ image: PixelImage) throws -> [Float] {
        let fitted = try fit(image)
        let plane = height * width
        var tensor = [Float](repeating: 0, count: elements)
        for c in 0..<channels {
            let from = order == .bgr ? 2 - c : c
            // One division for each of the 256 levels rather than one for each pixel.
            let levels = (0..<256).map { (Float($0) / 255 - mean[c]) / deviation[c] }
            for index in 0..<plane {
                tensor[c * plane + index] = levels[Int(fitted.pixels[index * channels + from])]
            }
        }
        return tensor
    }

    /// The pixels that `tensor` was made of, as `fit` gives them: the normalization undone.
    func pixels(of tensor: [Float]) throws -> PixelImage {
        let plane = height * width
        var image = PixelImage(width: width, height: height, channels: channels)
        for c in 0..<channels {
            let to = order == .bgr ? 2 - c : c
            for index in 0..<plane {
                let value = (Double(tensor[c * plane + index]) * Double(deviation[c]) + Double(mean[c])) * 255
                guard value > -0.5, value < 255.5 else {
                    throw ClassifierError("no picture of 8 bits gives this tensor")
                }
                image.pixels[index * channels + to] = UInt8(value.rounded())
            }
        }
        return image
    }

    /// Grey by ITU-R 601 in Pillow's fixed-point form, or RGB; alpha is dropped.
    private func withChannels(_ image: PixelImage) -> PixelImage {
        if image.channels == channels { return image }
        var made = PixelImage(width: image.width, height: image.height, channels: channels)
        for index in 0..<(image.width * image.height) {
            let from = index * image.channels
            if channels == 1 {
                let red = Int(image.pixels[from]) * 19595
                let green = Int(image.pixels[from + 1]) * 38470
                let blue = Int(image.pixels[from + 2]) * 7471
                made.pixels[index] = UInt8((red + green + blue + 0x8000) >> 16)
            } else {
                for c in 0..<3 { made.pixels[index * 3 + c] = image.pixels[from + (image.channels == 1 ? 0 : c)] }
            }
        }
        return made
    }

    private func bounded(_ image: PixelImage, _ width: Int, _ height: Int) throws -> PixelImage {
        guard width * max(height, image.height) <= Preprocessing.maxResizedPixels else {
            throw ClassifierError(
                "an image of \(image.width)x\(image.height) pixels is too elongated to be resized to \(width)x\(height)")
        }
        return image.resized(width: width, height: height, filter: filter)
    }

    private func shorterThenCrop(_ image: PixelImage) throws -> PixelImage {
        // The longer side is truncated, not rounded, as in torchvision.
        let width = image.width <= image.height ? shorterSide : longer(image.width, image.height)
        let height = image.height <= image.width ? shorterSide : longer(image.height, image.width)
        let resized = try bounded(image, width, height)
        var cropped = PixelImage(width: self.width, height: self.height, channels: image.channels)
        let left = evenly(Double(width - self.width) / 2)
        let top = evenly(Double(height - self.height) / 2)
        copy(resized, (left, top), &cropped, (0, 0), self.width, self.height)
        return cropped
    }

    /// Where an image of a size lies in the input, in pixels of the input; the rest is padding.
    ///
    /// Throws where the input does not show the whole of it.
    func placement(width across: Int, height down: Int) throws -> Placement {
        switch resize {
        case .exact: return Placement(top: 0, left: 0, height: height, width: width)
        case .shorter: throw ClassifierError("the input does not show the whole of an image")
        case .letterbox: return letterboxed(across, down)
        }
    }

    private func letterboxed(_ across: Int, _ down: Int) -> Placement {
        let scale = min(Double(height) / Double(down), Double(width) / Double(across))
        let innerWidth = min(width, max(1, evenly(Double(across) * scale)))
        let innerHeight = min(height, max(1, evenly(Double(down) * scale)))
        return Placement(
            top: (height - innerHeight) / 2, left: (width - innerWidth) / 2, height: innerHeight, width: innerWidth)
    }

    private func letterbox(_ image: PixelImage) throws -> PixelImage {
        let place = letterboxed(image.width, image.height)
        let inner = try bounded(image, place.width, place.height)
        var canvas = PixelImage(width: width, height: height, channels: image.channels, value: fill)
        copy(inner, (0, 0), &canvas, (place.left, place.top), place.width, place.height)
        return canvas
    }

    private func longer(_ one: Int, _ other: Int) -> Int { Int(Double(shorterSide * one) / Double(other)) }

    /// Ties go to the even number, as Python's `round` does.
    private func evenly(_ value: Double) -> Int { Int(value.rounded(.toNearestOrEven)) }

    private func copy(
        _ from: PixelImage, _ start: (Int, Int), _ to: inout PixelImage, _ place: (Int, Int), _ width: Int, _ height: Int
    ) {
        let samples = width * from.channels
        for y in 0..<height {
            let source = from.row(start.1 + y) + start.0 * from.channels
            let target = to.row(place.1 + y) + place.0 * from.channels
            to.pixels.replaceSubrange(target..<(target + samples), with: from.pixels[source..<(source + samples)])
        }
    }
}
