//go:build tools

// Keeps rqlited in go.mod and go.sum; never compiled.
package tools

import _ "github.com/rqlite/rqlite/v8/cmd/rqlited"
