// classify: the classes of image files.
//
// Exit codes: 0 done, 2 wrong input.
import DMFormer
import Foundation

func run(_ paths: [String]) throws {
    guard !paths.isEmpty else { throw ClassifierError("no image was named: classify IMAGE...") }
    #if canImport(CoreML)
    let classifier = try Classifier()
    for path in paths {
        print(path)
        for guess in try classifier.predict(PixelImage(contentsOf: URL(fileURLWithPath: path)), top: 3) {
            print(String(format: "  %6.2f%%  ", 100 * guess.probability) + guess.label)
        }
    }
    #else
    throw ClassifierError("there is no Core ML here")
    #endif
}

do {
    try run(Array(CommandLine.arguments.dropFirst()))
} catch {
    FileHandle.standardError.write(Data("error: \(error)\n".utf8))
    exit(2)
}
