// Pillow's resampling (its src/libImaging/Resample.c and Geometry.c): coefficients in double precision, rounded to 22
// bits after the point; two passes with 8-bit pixels in between. Swift fuses no multiply-add of its own accord, which
// would round the coefficients otherwise.
import Foundation

private let precisionBits: Int32 = 32 - 8 - 2

public enum Filter {
    case nearest, bilinear, bicubic, lanczos

    /// How far the kernel reaches, in pixels of the smaller image.
    var support: Double {
        switch self {
        case .nearest: return 0.5
        case .bilinear: return 1
        case .bicubic: return 2
        case .lanczos: return 3
        }
    }

    func weight(_ position: Double) -> Double {
        let x = abs(position)
        switch self {
        case .nearest: return x <= 0.5 ? 1 : 0
        case .bilinear: return x < 1 ? 1 - x : 0
        case .bicubic: return cubic(x)
        case .lanczos: return position >= -3 && position < 3 ? sinc(position) * sinc(position / 3) : 0
        }
    }

    private func cubic(_ x: Double) -> Double {
        let a = -0.5
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
        return 0
    }

    private func sinc(_ x: Double) -> Double {
        if x == 0 { return 1 }
        let angle = x * Double.pi
        return sin(angle) / angle
    }
}

/// For each output position: the first input position and the weights of it and those after it.
private struct Taps {
    var first: [Int] = []
    var weights: [[Int32]] = []

    init(from inSize: Int, to outSize: Int, filter: Filter) {
        let scale = Double(inSize) / Double(outSize)
        let filterScale = max(1, scale)
        let support = filter.support * filterScale
        let step = 1 / filterScale
        for out in 0..<outSize {
            let center = (Double(out) + 0.5) * scale
            let start = max(0, Int(center - support + 0.5))
            let end = min(inSize, Int(center + support + 0.5))
            let raw = (start..<end).map { filter.weight((Double($0) - center + 0.5) * step) }
            let sum = raw.reduce(0, +)
            first.append(start)
            weights.append(raw.map { Taps.fixedPoint(sum != 0 ? $0 / sum : $0) })
        }
    }

    private static func fixedPoint(_ weight: Double) -> Int32 {
        let scaled = weight * Double(Int32(1) << precisionBits)
        return Int32(scaled < 0 ? -0.5 + scaled : 0.5 + scaled)
    }
}

extension PixelImage {
    /// Pillow's resize with antialiasing. uint8 in, uint8 out, any number of channels.
    func resized(width: Int, height: Int, filter: Filter) -> PixelImage {
        if self.width == width && self.height == height { return self }
        if filter == .nearest { return nearest(width: width, height: height) }
        return columnsFirst(width, height)
            ? resizedColumns(height, filter).resizedRows(width, filter)
            : resizedRows(width, filter).resizedColumns(height, filter)
    }

    /// Pillow's order in release 13 (older ones always begin with the rows): the pixels between the passes are rounded,
    /// so that the order shows.
    private func columnsFirst(_ width: Int, _ height: Int) -> Bool {
        let less = self.height - height
        return less > 0 && less > (self.width - width) * 2
    }

    // Neither pass is made where it would change nothing: the same size is a copy in Pillow too.
    private func resizedRows(_ width: Int, _ filter: Filter) -> PixelImage {
        if width == self.width { return self }
        let taps = Taps(from: self.width, to: width, filter: filter)
        var made = PixelImage(width: width, height: height, channels: channels)
        pixels.withUnsafeBufferPointer { from in
            for y in 0..<height {
                for x in 0..<width {
                    let start = row(y) + taps.first[x] * channels
                    let to = made.row(y) + x * channels
                    for c in 0..<channels {
                        made.pixels[to + c] = weighted(from, start + c, channels, taps.weights[x])
                    }
                }
            }
        }
        return made
    }

    private func resizedColumns(_ height: Int, _ filter: Filter) -> PixelImage {
        if height == self.height { return self }
        let taps = Taps(from: self.height, to: height, filter: filter)
        let samples = width * channels
        var made = PixelImage(width: width, height: height, channels: channels)
        pixels.withUnsafeBufferPointer { from in
            for y in 0..<height {
                let start = row(taps.first[y])
                for sample in 0..<samples {
                    made.pixels[made.row(y) + sample] = weighted(from, start + sample, samples, taps.weights[y])
                }
            }
        }
        return made
    }

    /// The input position of each output position; Pillow adds the steps up, so that their rounding does too.
    private func nearest(width: Int, height: Int) -> PixelImage {
        let columns = nearestPositions(self.width, width)
        let rows = nearestPositions(self.height, height)
        var made = PixelImage(width: width, height: height, channels: channels)
        for y in 0..<height {
            // Beyond the edge, where the sum of the steps may end, Pillow leaves black.
            for x in 0..<width where rows[y] < self.height && columns[x] < self.width {
                let from = row(rows[y]) + columns[x] * channels
                let to = made.row(y) + x * channels
                for c in 0..<channels { made.pixels[to + c] = pixels[from + c] }
            }
        }
        return made
    }
}

/// `first` is the index of the first of the input samples, `pitch` the distance to the next.
private func weighted(_ from: UnsafeBufferPointer<UInt8>, _ first: Int, _ pitch: Int, _ weights: [Int32]) -> UInt8 {
    var sum: Int32 = 1 << (precisionBits - 1)
    var at = first
    for weight in weights {
        sum &+= Int32(from[at]) &* weight
        at += pitch
    }
    return UInt8(min(255, max(0, sum >> precisionBits)))
}

private func nearestPositions(_ inSize: Int, _ outSize: Int) -> [Int] {
    let step = Double(inSize) / Double(outSize)
    var at = step * 0.5
    var positions: [Int] = []
    for _ in 0..<outSize {
        positions.append(Int(at))
        at += step
    }
    return positions
}
