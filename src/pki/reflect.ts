// The polyfill that @peculiar/x509 needs to be there before it is loaded. A module of its own, because the bundler
// keeps the order of our modules but runs a CommonJS package after the others that a module imports.
import "reflect-metadata";
