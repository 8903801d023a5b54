// self-test: compares with PyTorch's golden samples, and names the first stage that differs.
//
// Exit codes: 0 both stages agree, 1 one differs, 2 it cannot be told.
import DMFormer
import Foundation

func tell(_ verdict: Verdict) -> Bool {
    print("\(verdict.stage): \(verdict.passed ? "ok" : "DIFFERS"): \(verdict.facts)")
    return verdict.passed
}

func run() throws -> Int32 {
    if !tell(try SelfTest.preprocessing()) { return 1 }
    #if canImport(CoreML)
    return tell(try SelfTest.engine()) ? 0 : 1
    #else
    print("engine: not run: there is no Core ML here")
    return CommandLine.arguments.contains("--preprocessing-only") ? 0 : 2
    #endif
}

do {
    exit(try run())
} catch {
    FileHandle.standardError.write(Data("error: \(error)\n".utf8))
    exit(2)
}
