// The configuration files of a usual instance, as a person reviews them: test/golden/conf. To accept a change on
// purpose, run with UPDATE_GOLDEN=1.
import { expect, test } from "bun:test";
import { renderHba } from "../../src/postgres/hba.ts";
import type { InstanceConfig, InstanceLayout } from "../../src/spec/instance-config.ts";
import { expectGolden } from "../../test/golden/golden.ts";
import { CONFIGURATION_FILES, renderConfiguration } from "./configuration-files.ts";

const base = "/var/lib/postgresql/17/shop-n1-0f3k2m1q";
const layout: InstanceLayout = {
  base_dir: base,
  data_dir: `${base}/data`,
  config_dir: `${base}/configs`,
  certificate_dir: `${base}/certificates/postgres`,
  run_dir: "/run/pgherd/shop-n1-0f3k2m1q",
  log_dir: `${base}/log`,
  keeper_file: `${base}/keeper.json`,
  fencer_socket: "/run/pgherd/shop-n1-0f3k2m1q.fencer",
};
const config: InstanceConfig = {
  generation: 1,
  instance_id: "shop-n1-0f3k2m1q",
  database_id: "shop",
  node_name: "n1",
  host_id: "host-1",
  database_name: "shop",
  postgres_major: 17,
  bin_dir: "/usr/lib/postgresql/17/bin",
  run: "running",
  port: 5432,
  rest_port: 8888,
  listen_addresses: ["*"],
  connect_addresses: ["10.0.0.1"],
  parameters: {
    archive_command: "/bin/true",
    log_line_prefix: "%m [%p] ",
    shared_preload_libraries: "pg_stat_statements",
    ssl: "on",
    "app.motto": "it's \\ fine",
    Work_Mem: "8MB",
    unix_socket_directories: "/tmp",
  },
  hba: renderHba({
    systemAddresses: ["10.0.0.1", "10.0.0.2"],
    nodeAndDatabaseLines: ["hostssl shop app 10.0.0.0/8 scram-sha-256"],
  }),
  ident: ["office alice app"],
  restart_generation: 0,
};

test("a usual instance", () => {
  const texts = renderConfiguration(config, layout, ["root", "postgres"]);
  for (const name of CONFIGURATION_FILES) expectGolden(`conf/usual.${name}`, texts[name]);
});

test("an instance without TCP listens on its socket alone", () => {
  const conf = renderConfiguration({ ...config, port: null }, layout, [])["postgresql.conf"];
  expect(conf).toContain("listen_addresses = ''\n");
  expect(conf).toContain("port = '5432'\n");
});
