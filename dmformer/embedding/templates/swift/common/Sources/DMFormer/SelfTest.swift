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

    /// The engine's answers to the golden tensors, whatever preprocessing makes here, against PyTorch's.
    static func engine(_ answer: ([[Float]]) throws -> [[Float]]) throws -> Verdict {
        let golden = try Golden()
        let found = try answer(golden.samples.map(\.tensor))
        var signal = 0.0
        var noise = 0.0
        var largest = 0.0
        var scale = 0.0
        var agreeing = 0
        for (sample, logits) in zip(golden.samples, found) {
            for (expected, value) in zip(sample.logits, logits) {
                let difference = Double(value) - Double(expected)
                signal += Double(expected) * Double(expected)
                noise += difference * difference
                // Not max, which may lose a NaN.
                if !(abs(difference) <= largest) { largest = abs(difference) }
                scale = max(scale, abs(Double(expected)))
            }
            agreeing += top1(logits) == top1(sample.logits) ? 1 : 0
        }
        // An answer of zeros has no signal.
        let sqnr = noise == 0 ? Double.infinity : 10 * (log10(max(signal, Double.leastNormalMagnitude)) - log10(noise))
        let agreement = Double(agreeing) / Double(golden.samples.count)
        let asked = golden.tolerance
        var passed = largest.isFinite && found.count == golden.samples.count
        if let allowed = asked.maxAbsError { passed = passed && largest <= allowed * max(1, scale) }
        if let least = asked.minSqnrDb { passed = passed && sqnr >= least }
        if let least = asked.minAgreement { passed = passed && agreement >= least }
        let ratio = noise == 0 ? "outputs equal" : String(format: "SQNR %.1f dB", sqnr)
        let facts = String(
            format: "agreement %.2f %%, %@, largest difference %.2e", 100 * agreement, ratio, largest)
        return Verdict(stage: "engine", passed: passed, facts: facts)
    }

    private static func top1(_ logits: [Float]) -> Int {
        logits.indices.max { logits[$0] < logits[$1] } ?? 0
    }

    #if canImport(CoreML)
    /// The engine of the resources in Core ML, on the compute units that the bundle was exported for.
    public static func engine() throws -> Verdict {
        let engine = try Engine()
        return try self.engine(engine.logits(tensors:))
    }
    #endif
}
