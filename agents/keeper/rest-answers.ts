// Which answer a request to the REST API gets (Patroni's API: same paths, codes and bodies). Pure: writing requests
// come out as a command for the keeper.
import { answerUnsafe } from "./rest-commands.ts";
import { historyJson, memberUrls } from "./rest-group.ts";
import { isHealthy, isLive, isReady } from "./rest-health.ts";
import { clusterJson, configJson, type RestView, statusJson } from "./rest-json.ts";
import { type RestAnswer, type RestRequest, text } from "./rest-messages.ts";
import { metricsText } from "./rest-metrics.ts";
import { type RestJson, toJson } from "./rest-value.ts";

/** The answer; `nowMs` is wall time, for what is scheduled. */
export function answerRest(request: RestRequest, view: RestView, nowMs: number): RestAnswer {
  const url = new URL(request.url, "http://keeper");
  const [first = ""] = url.pathname.split("/").filter((part) => part !== "");
  switch (request.method) {
    case "GET":
      return answerGet(first, url, view);
    case "HEAD":
    case "OPTIONS":
      return { ...health(url, view), body: "" };
    case "POST":
    case "PUT":
    case "PATCH":
    case "DELETE":
      return answerUnsafe(first, request, view, nowMs);
    default:
      return text(501, `Unsupported method ('${request.method}')`);
  }
}

function answerGet(first: string, url: URL, view: RestView): RestAnswer {
  const { group, config } = view;
  switch (first) {
    case "patroni":
      return json(200, statusJson(view));
    case "cluster":
      return json(200, clusterJson(view));
    case "history":
      return json(200, group ? historyJson(group) : []);
    case "config":
      return config ? json(200, configJson(config, group)) : text(502, "");
    case "failsafe":
      return group?.view.settings.failsafe ? json(200, memberUrls(group)) : text(502, "");
    case "metrics":
      return { status: 200, contentType: "text/plain", body: metricsText(view) };
    case "liveness":
      return text(isLive(view) ? 200 : 503, "");
    case "readiness":
      return text(isReady(url, view) ? 200 : 503, "");
    default:
      return health(url, view);
  }
}

/** Every other path is a health check; which one is found by words in it. */
function health(url: URL, view: RestView): RestAnswer {
  return json(isHealthy(url, view) ? 200 : 503, statusJson(view));
}

function json(status: number, value: RestJson): RestAnswer {
  return { status, contentType: "application/json", body: toJson(value) };
}
