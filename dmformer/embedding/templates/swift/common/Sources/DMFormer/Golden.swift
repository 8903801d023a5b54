// The golden samples: images, what preprocessing makes of them, and what PyTorch answers in FP32.
import Foundation

/// What an engine must keep; what is absent is not judged.
struct Tolerance: Decodable {
    /// Per channel, in units of the tensor: one step of 8 bits.
    let tensor: [Double]
    /// Relative to the largest absolute logit or 1, whichever is greater.
    let maxAbsError: Double?
    let minSqnrDb: Double?
    let minAgreement: Double?
}

struct Sample {
    let name: String
    let image: PixelImage
    let tensor: [Float]
    /// Logits, or the class of every pixel of the image, row by row.
    let answer: [Float]
}

struct Golden {
    let tolerance: Tolerance
    let samples: [Sample]

    private static let maxFileBytes = 512 << 20

    private struct Document: Decodable {
        struct Entry: Decodable {
            let name: String
            let width: Int
            let height: Int
            let channels: Int
            let pixels: String
            let tensor: String
            let logits: String?
            let map: String?
        }

        let schema: String
        let tolerance: Tolerance
        let samples: [Entry]
    }

    /// Throws where the samples are damaged or not of the parameters' shapes.
    init() throws {
        let folder = try Resources.url("golden")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let document: Document
        do {
            document = try decoder.decode(
                Document.self, from: Golden.bytes(folder, "golden.json"))
        } catch let error as ClassifierError {
            throw error
        } catch {
            throw ClassifierError("golden.json: cannot be read: \(error.localizedDescription)")
        }
        let channels = Parameters.preprocessing.channels
        guard document.schema == "dmformer.golden/1", !document.samples.isEmpty,
            document.tolerance.tensor.count == channels
        else {
            throw ClassifierError("golden.json: it has no samples, or another number of channels")
        }
        tolerance = document.tolerance
        samples = try document.samples.map { entry in
            let pixels = try Golden.bytes(folder, entry.pixels)
            return Sample(
                name: entry.name,
                image: try PixelImage(
                    width: entry.width, height: entry.height, channels: entry.channels, pixels: [UInt8](pixels)),
                tensor: try Golden.floats(folder, entry.tensor, Parameters.preprocessing.elements),
                answer: try Golden.answer(folder, entry))
        }
    }

    private static func answer(_ folder: URL, _ entry: Document.Entry) throws -> [Float] {
        guard let map = entry.map else { return try floats(folder, entry.logits ?? "", Parameters.outputElements) }
        return try numbers(folder, map, entry.width * entry.height, Int32(0)).map(Float.init)
    }

    private static func bytes(_ folder: URL, _ name: String) throws -> Data {
        let url = folder.appendingPathComponent(name)
        // Opening a named pipe would block for ever.
        guard let values = try? url.resourceValues(forKeys: [.isRegularFileKey, .fileSizeKey]),
            values.isRegularFile == true, (values.fileSize ?? 0) <= maxFileBytes, let data = try? Data(contentsOf: url)
        else {
            throw ClassifierError("\(name): cannot be read, or is larger than 512 MiB")
        }
        return data
    }

    private static func floats(_ folder: URL, _ name: String, _ count: Int) throws -> [Float] {
        try numbers(folder, name, count, Float(0))
    }

    /// Little-endian numbers, which is how every machine of Apple's stores them.
    private static func numbers<Value>(_ folder: URL, _ name: String, _ count: Int, _ zero: Value) throws -> [Value] {
        let data = try bytes(folder, name)
        guard data.count == count * MemoryLayout<Value>.size else {
            throw ClassifierError("\(name): has \(data.count) bytes, not \(count * MemoryLayout<Value>.size)")
        }
        var values = [Value](repeating: zero, count: count)
        _ = values.withUnsafeMutableBytes { data.copyBytes(to: $0) }
        return values
    }
}

/// The files beside the sources, which the build copies.
enum Resources {
    static func url(_ path: String) throws -> URL {
        guard let root = Bundle.module.resourceURL else {
            throw ClassifierError("the resources of the package are missing")
        }
        return root.appendingPathComponent(path)
    }
}
