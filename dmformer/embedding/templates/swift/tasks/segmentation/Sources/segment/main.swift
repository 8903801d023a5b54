// segment: the classes of images' pixels; beside each image NAME.overlay.png with their colours over it.
//
// Exit codes: 0 done, 2 wrong input.
import DMFormer
import Foundation

func run(_ paths: [String]) throws {
    guard !paths.isEmpty else { throw ClassifierError("no image was named: segment IMAGE...") }
    #if canImport(CoreML)
    let segmenter = try Segmenter()
    for path in paths {
        let url = URL(fileURLWithPath: path)
        let image = try PixelImage(contentsOf: url)
        let found = try segmenter.predict(image)
        print(path)
        for share in found.shares { print(String(format: "  %6.2f%%  ", 100 * share.share) + share.label) }
        try found.overlay(image).writePNG(url.appendingPathExtension("overlay.png"))
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
