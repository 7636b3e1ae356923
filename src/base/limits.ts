// Every bound of the product in one place: names carry their unit last.

/** Longest HTTP request body, in bytes. */
export const requestBodyBytesMax = 4 * 1024 * 1024;
/** Longest captured output of one command, in bytes; the middle of more is cut. */
export const commandOutputBytesMax = 1024 * 1024;
/** Default time limit of one command on a host. */
export const commandTimeoutMs = 60_000;
/** One try of one request to the store. */
export const storeRequestTimeoutMs = 3_000;
/** All tries of one request to the store. */
export const storeDeadlineMs = 15_000;
/** Default time limit of one step of a task. */
export const stepTimeoutMs = 300_000;
/** Most steps of one task that run at once. */
export const stepConcurrencyMax = 8;
/** Longest message of one task log entry, in characters. */
export const taskLogMessageCharsMax = 4_096;
/** Most entries answered for one task log request without a limit. */
export const taskLogEntriesMax = 10_000;
/** Host-side validation of one request, over all hosts. */
export const hostValidationTimeoutMs = 30_000;
/** Tries of allocating a random port on one host. */
export const portAllocationAttemptsMax = 20;
/** How often a keeper reports when nothing changes. */
export const instanceReportIntervalMs = 5_000;
/** A report older than this makes the instance's state unknown. */
export const instanceReportStaleMs = 10_000;
/** How often a host reports its status. */
export const hostReportIntervalMs = 15_000;
/** A host report older than this makes the host unreachable. */
export const hostReportStaleMs = 30_000;
