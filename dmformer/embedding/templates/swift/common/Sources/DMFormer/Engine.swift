// The package in Core ML: preprocessed tensors in, what it gives out.
#if canImport(CoreML)
import CoreML
import CoreVideo
import Foundation

public final class Engine {
    private let model: MLModel

    /// Opens the package of the resources. Xcode and `xcrun coremlcompiler` compile it ahead of time; where that was not
    /// done, it is compiled here, which takes seconds at each start.
    public init(computeUnits: MLComputeUnits = Parameters.computeUnits) throws {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = computeUnits
        do {
            model = try MLModel(contentsOf: Engine.compiled(), configuration: configuration)
        } catch {
            throw ClassifierError("\(Parameters.package): Core ML cannot load it: \(error.localizedDescription)")
        }
    }

    private static func compiled() throws -> URL {
        let package = try Resources.url("engine/\(Parameters.package)")
        let ahead = package.deletingPathExtension().appendingPathExtension("mlmodelc")
        if FileManager.default.fileExists(atPath: ahead.path) { return ahead }
        return try MLModel.compileModel(at: package)
    }

    /// What it gives, `Parameters.outputElements` each, for preprocessed tensors [C, H, W].
    public func outputs(tensors: [[Float]]) throws -> [[Float]] {
        if Parameters.takesImage {
            return try tensors.map { try output(pixels: Parameters.preprocessing.pixels(of: $0)) }
        }
        let size = max(1, Parameters.batch)
        return try stride(from: 0, to: tensors.count, by: size).flatMap { start in
            try batch(Array(tensors[start..<min(start + size, tensors.count)]), size)
        }
    }

    /// What it gives for an image, whichever input the package takes.
    public func output(_ image: PixelImage) throws -> [Float] {
        let spec = Parameters.preprocessing
        if Parameters.takesImage { return try output(pixels: spec.fit(image)) }
        return try outputs(tensors: [spec.tensor(image)])[0]
    }

    /// What it gives for pixels that fit the model, for a package that takes an image.
    public func output(pixels: PixelImage) throws -> [Float] {
        let value = MLFeatureValue(pixelBuffer: try pixelBuffer(pixels))
        return try run(value, count: 1)[0]
    }

    /// The last images do not fill a fixed batch: the rest of it is zeros.
    private func batch(_ tensors: [[Float]], _ size: Int) throws -> [[Float]] {
        let spec = Parameters.preprocessing
        var scalars = tensors.flatMap { $0 }
        scalars += [Float](repeating: 0, count: size * spec.elements - scalars.count)
        let shape = [size, spec.channels, spec.height, spec.width]
        let value = MLFeatureValue(multiArray: MLMultiArray(MLShapedArray<Float>(scalars: scalars, shape: shape)))
        return Array(try run(value, count: size).prefix(tensors.count))
    }

    private func run(_ value: MLFeatureValue, count: Int) throws -> [[Float]] {
        let given = try MLDictionaryFeatureProvider(dictionary: [Parameters.input: value])
        let answer = try model.prediction(from: given).featureValue(for: Parameters.output)?.multiArrayValue
        let size = Parameters.outputElements
        guard let found = answer, found.count == count * size else {
            throw ClassifierError("the package gives another number of values than the parameters say")
        }
        // Whole numbers, as of classes, are exact in floats up to 2^24.
        let scalars = MLShapedArray<Float>(converting: found).scalars
        return (0..<count).map { Array(scalars[($0 * size)..<(($0 + 1) * size)]) }
    }

    /// A picture as Core ML takes it: BGRA in memory, or grey. The package reorders channels itself.
    private func pixelBuffer(_ image: PixelImage) throws -> CVPixelBuffer {
        let grey = image.channels == 1
        let format = grey ? kCVPixelFormatType_OneComponent8 : kCVPixelFormatType_32BGRA
        var made: CVPixelBuffer?
        CVPixelBufferCreate(nil, image.width, image.height, format, nil, &made)
        guard let buffer = made, CVPixelBufferLockBaseAddress(buffer, []) == kCVReturnSuccess else {
            throw ClassifierError("there is too little memory for a picture")
        }
        defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
        guard let base = CVPixelBufferGetBaseAddress(buffer)?.assumingMemoryBound(to: UInt8.self) else {
            throw ClassifierError("there is too little memory for a picture")
        }
        let pitch = CVPixelBufferGetBytesPerRow(buffer)
        for y in 0..<image.height {
            for x in 0..<image.width {
                let from = image.row(y) + x * image.channels
                if grey {
                    base[y * pitch + x] = image.pixels[from]
                    continue
                }
                let to = y * pitch + x * 4
                for c in 0..<3 { base[to + 2 - c] = image.pixels[from + c] }
                base[to + 3] = 255
            }
        }
        return buffer
    }
}
#endif
