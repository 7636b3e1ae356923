import { expect, test } from "bun:test";
import { judgeRun, renderReport } from "./test-report.ts";

const JUNIT = `<testsuites name="bun test" tests="4" failures="1" skipped="1">
  <testsuite name="a.test.ts" file="a.test.ts">
    <testcase name="one &lt;&amp;&gt;" classname="" time="0" file="a.test.ts" assertions="0" />
    <testcase name="root only" classname="" time="0" file="a.test.ts">
      <skipped />
    </testcase>
    <testcase name="two" classname="inner &gt; outer" file="a.test.ts">
      <failure type="AssertionError" message="expected &quot;1&quot;&#10;&#10;received 2">all of it</failure>
    </testcase>
    <testcase name="three" classname="outer" time="0" file="a.test.ts" />
  </testsuite>
</testsuites>`;

test("cases are counted and named by their groups, outermost first", () => {
  const outcome = judgeRun({ name: "unit", exitCode: 1, log: " 2 pass\n 1 fail\n", junit: JUNIT });
  expect(outcome).toEqual({
    passed: 2,
    failed: [{ name: "unit: outer > inner > two", why: 'expected "1"\n\nreceived 2' }],
    skipped: ["unit: root only"],
  });
});

test("a test file that could not be loaded counts as a failure", () => {
  const outcome = judgeRun({ name: "unit", exitCode: 1, log: " 2 pass\n 2 fail\n", junit: JUNIT });
  expect(outcome.failed.map(({ name }) => name)).toEqual([
    "unit: outer > inner > two",
    "unit: error outside of a test",
  ]);
});

test("a run that died without a report counts as a failure", () => {
  const outcome = judgeRun({ name: "types", exitCode: 2, log: "error TS1005", junit: undefined });
  const failed = [{ name: "types: exit code 2", why: "" }];
  expect(outcome).toEqual({ passed: 0, failed, skipped: [] });
});

test("the last line is the sum", () => {
  const runs = [
    { name: "types", exitCode: 0, log: "", junit: undefined },
    { name: "unit", exitCode: 1, log: "", junit: JUNIT },
    { name: "e2e", exitCode: 0, log: "", junit: JUNIT.replace(/<failure.*/, "") },
  ];
  const report = renderReport(runs.map(judgeRun));
  expect(report.split("\n").at(-1)).toBe("5 passed, 1 failed, 2 skipped");
  expect(report).toContain("skipped  e2e: root only");
  expect(report).toContain(
    'FAILED   unit: outer > inner > two\n         expected "1"\n         received 2\n',
  );
});
