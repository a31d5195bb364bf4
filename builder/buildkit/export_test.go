package buildkit

// WithSecrets is what the session of a job gets.
var WithSecrets = withSecrets
