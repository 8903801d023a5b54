// The stage "engine": logits.
import Foundation

extension SelfTest {
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
            for (expected, value) in zip(sample.answer, logits) {
                let difference = Double(value) - Double(expected)
                signal += Double(expected) * Double(expected)
                noise += difference * difference
                // Not max, which may lose a NaN.
                if !(abs(difference) <= largest) { largest = abs(difference) }
                scale = max(scale, abs(Double(expected)))
            }
            agreeing += top1(logits) == top1(sample.answer) ? 1 : 0
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
}
