// Does this program answer like PyTorch, and if not, which stage differs?
import Foundation

/// The verdict on one stage.
public struct Verdict {
    /// "preprocessing" or "engine".
    public let stage: String
    public let passed: Bool
    public let facts: String
}

public enum SelfTest {
    /// The golden images, preprocessed here, against the golden tensors.
    public static func preprocessing() throws -> Verdict {
        let golden = try Golden()
        let spec = Parameters.preprocessing
        let plane = spec.height * spec.width
        // 1 is what is allowed.
        var worst = 0.0
        var place = ""
        for sample in golden.samples {
            let tensor = try spec.tensor(sample.image)
            for index in tensor.indices {
                let channel = index / plane
                let difference = abs(Double(tensor[index]) - Double(sample.tensor[index]))
                let share = difference / golden.tolerance.tensor[channel]
                if share > worst || share.isNaN {
                    worst = share.isNaN ? .infinity : share
                    place = ", in channel \(channel) of \(sample.name)"
                }
            }
        }
        let steps = String(format: "worst difference %.3f steps of 8 bits", worst)
        let facts = "\(golden.samples.count) images, \(steps)\(place)"
        return Verdict(stage: "preprocessing", passed: worst <= 1, facts: facts)
    }

    #if canImport(CoreML)
    /// The engine of the resources in Core ML, on the compute units that the bundle was exported for.
    public static func engine() throws -> Verdict {
        let engine = try Engine()
        return try self.engine(engine.outputs(tensors:))
    }
    #endif
}
