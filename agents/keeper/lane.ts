// The request that is worked on, beside the loop. There is one at a time.
import { must } from "../../src/base/assert.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { crashBackoffFirstMs, keeperRequestTimeoutMs } from "../../src/base/limits.ts";
import type { InstanceConfig } from "../../src/spec/instance-config.ts";
import type { PendingRequest } from "../../src/store/ha-store.ts";
import { reloadServer } from "./configuration.ts";
import type { Memory } from "./memory.ts";
import { type ObserveDeps, session, sqlTarget } from "./observe.ts";
import { serveRequest } from "./requests.ts";
import type { Slots } from "./slots.ts";
import { openSession } from "./sql.ts";
import type { StoreLink } from "./store-link.ts";

export interface LaneDeps extends ObserveDeps {
  readonly store: StoreLink;
  readonly slots: Slots;
  /** Nobody but this primary can be elected, so that what it commits need not wait for standbys: there may be none yet. */
  readonly commitsAlone: () => boolean;
  /** The lane is free again. */
  readonly wake: () => void;
}

/** Works on the request beside the loop, so that a crash or a stop is noticed meanwhile. */
export function serveBeside(
  deps: LaneDeps,
  memory: Memory,
  request: PendingRequest,
  signal: AbortSignal,
): void {
  const config = must(memory.config, "configuration");
  const abort = new AbortController();
  memory.lane = { requestId: request.id, abort };
  void answerRequest(deps, memory, { request, config }, AbortSignal.any([signal, abort.signal]))
    .catch((error) => deps.log.warn("request is left for later", { error: messageOf(error) }))
    .finally(() => {
      memory.lane = undefined;
      deps.wake();
    });
}

async function answerRequest(
  deps: LaneDeps,
  memory: Memory,
  work: { readonly request: PendingRequest; readonly config: InstanceConfig },
  signal: AbortSignal,
): Promise<void> {
  const { request, config } = work;
  const { payload } = request;
  if (payload.kind === "restart") return;
  const requestDeps = (commits: "local" | undefined) => ({
    clock: deps.clock,
    target: (database: string) => ({
      ...sqlTarget(deps, memory, database),
      ...(commits ? { commits } : {}),
    }),
    major: config.postgres_major,
    reload: async () => reloadServer(deps.clock, await session(deps, memory)),
    slots: deps.slots,
  });
  const endMs = deps.clock.monotonicMs() + keeperRequestTimeoutMs;
  for (;;) {
    try {
      const alone = deps.commitsAlone();
      const detail = await serveRequest(requestDeps(alone ? "local" : undefined), payload, signal);
      if (alone && !deps.commitsAlone()) await untilShared(deps, memory, signal);
      deps.store.answer(request.id, { ok: true, detail });
      return;
    } catch (error) {
      signal.throwIfAborted();
      const again = error instanceof AppError && error.kind === "retryable";
      if (!again || deps.clock.monotonicMs() > endMs) {
        deps.store.answer(request.id, { ok: false, detail: messageOf(error) });
        return;
      }
      deps.log.info("request will be tried again", { id: request.id, error: messageOf(error) });
      await deps.clock.sleep(crashBackoffFirstMs, signal);
    }
  }
}

/** Somebody else could be elected since: what was committed alone has to be there too. A commit waits for all before it. */
async function untilShared(deps: LaneDeps, memory: Memory, signal: AbortSignal): Promise<void> {
  const open = await openSession(sqlTarget(deps, memory, "postgres"), deps.clock, signal);
  try {
    await open.query("SELECT pg_catalog.pg_logical_emit_message(true, 'pgherd', '')", [], {
      signal,
    });
  } finally {
    await open.close();
  }
}
