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
