// The self-test as a test: `swift test`, or in Xcode on a device.
import DMFormer
import XCTest

final class SelfTestTests: XCTestCase {
    func testPreprocessing() throws {
        let verdict = try SelfTest.preprocessing()
        XCTAssertTrue(verdict.passed, verdict.facts)
    }

    #if canImport(CoreML)
    func testEngine() throws {
        let verdict = try SelfTest.engine()
        XCTAssertTrue(verdict.passed, verdict.facts)
    }
    #endif
}
