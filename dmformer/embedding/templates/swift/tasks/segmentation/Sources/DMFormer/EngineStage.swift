// The stage "engine": the class of every pixel.
import Foundation

extension SelfTest {
    /// The engine's answers to the golden tensors, whatever preprocessing makes here, against PyTorch's.
    static func engine(_ answer: ([[Float]]) throws -> [[Float]]) throws -> Verdict {
        let golden = try Golden()
        var equal = 0
        var pixels = 0
        for (sample, given) in zip(golden.samples, try answer(golden.samples.map(\.tensor))) {
            let found = try Segmentation(given, width: sample.image.width, height: sample.image.height)
            equal += zip(found.classes, sample.answer).filter { Float($0) == $1 }.count
            pixels += found.classes.count
        }
        let share = Double(equal) / Double(pixels)
        let facts = String(format: "%.4f %% of %ld pixels have PyTorch's class", 100 * share, pixels)
        return Verdict(stage: "engine", passed: share >= golden.tolerance.minAgreement ?? 0, facts: facts)
    }
}
