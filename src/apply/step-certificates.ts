// The step that gives an instance its certificates.
import { certificateInputs } from "../plan/inputs.ts";
import { CERTIFICATE_FILES, ensureCertificates } from "./certificates.ts";
import { hostOf, type StepHandler } from "./step-deps.ts";

export const certificateStep: StepHandler = {
  async ensure(run, deps) {
    const { executor } = await hostOf(run, deps);
    const inputs = certificateInputs(run.step.resource);
    const written = await ensureCertificates({
      executor,
      inputs,
      issuer: deps.issuer,
      instanceId: run.step.resource.id,
      nowMs: deps.clock.nowMs(),
      signal: run.signal,
    });
    if (written.length > 0) run.log("wrote certificates", { certificates: written.join(", ") });
  },
  async remove(run, deps) {
    const { executor } = await hostOf(run, deps);
    const { directory } = certificateInputs(run.step.resource);
    for (const name of CERTIFICATE_FILES) await executor.remove(`${directory}/${name}`, run.signal);
  },
};
