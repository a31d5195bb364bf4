// Package imagestore writes images into the storage of a distribution registry,
// without a registry in between: layers from lists of files, manifests, indexes
// and tags, all with bytes that depend on the content alone.
package imagestore
