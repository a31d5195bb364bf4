package docker

// ReadMessages is readMessages for tests.
var ReadMessages = readMessages
