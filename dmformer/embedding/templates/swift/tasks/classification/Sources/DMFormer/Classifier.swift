// Images in, classes out.
#if canImport(CoreML)
import Foundation

public struct Guess {
    public let index: Int
    public let label: String
    /// 0 to 1.
    public let probability: Float
}

/// One engine behind one call. Core ML takes predictions from several threads.
public final class Classifier {
    private let engine: Engine

    public init(engine: Engine) {
        self.engine = engine
    }

    public convenience init() throws {
        self.init(engine: try Engine())
    }

    /// The `top` most likely classes, best first.
    public func predict(_ image: PixelImage, top: Int = 5) throws -> [Guess] {
        best(try engine.output(image), top)
    }
}

/// The `top` largest logits, as probabilities over all of them.
func best(_ logits: [Float], _ top: Int) -> [Guess] {
    let largest = Double(logits.max() ?? 0)
    let shares = logits.map { exp(Double($0) - largest) }
    let sum = shares.reduce(0, +)
    let order = logits.indices.sorted { (logits[$0], -$0) > (logits[$1], -$1) }
    return order.prefix(top).map {
        Guess(index: $0, label: Parameters.labels[$0], probability: Float(shares[$0] / sum))
    }
}
#endif
