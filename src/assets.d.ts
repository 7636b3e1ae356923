// Types of imports that are not TypeScript: files that the compiled binary carries within itself.
// `with { type: "file" }` yields a path that Bun can open, on disk or inside the binary.

declare module "*/assets/rqlited" {
  const path: string;
  export default path;
}

declare module "*/assets/rqlited.json" {
  const release: { readonly version: string; readonly sha256: string };
  export default release;
}

declare module "swagger-ui-dist/swagger-ui-bundle.js" {
  const path: string;
  export default path;
}

declare module "swagger-ui-dist/swagger-ui-standalone-preset.js" {
  const path: string;
  export default path;
}

declare module "*.css" {
  const path: string;
  export default path;
}

declare module "*.sql" {
  const text: string;
  export default text;
}

declare module "*.service" {
  const text: string;
  export default text;
}

declare module "*.wasm" {
  const path: string;
  export default path;
}

/** PostgreSQL's parser, compiled; only what statement-parser.ts uses of it. */
declare module "libpg-query/wasm/libpg-query.js" {
  interface PgQuery {
    lengthBytesUTF8(text: string): number;
    stringToUTF8(text: string, pointer: number, bytesMax: number): void;
    UTF8ToString(pointer: number): string;
    getValue(pointer: number, type: "i32"): number;
    _malloc(bytes: number): number;
    _free(pointer: number): void;
    /** Pointer to { tree, stderr, error }, four bytes each; to be freed. */
    _wasm_parse_query_raw(query: number): number;
    _wasm_free_parse_result(result: number): void;
  }
  export default function load(options: { locateFile: (name: string) => string }): Promise<PgQuery>;
}
