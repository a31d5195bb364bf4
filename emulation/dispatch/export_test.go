package dispatch

// SetStub makes [Inject] use another stub.
func SetStub(other []byte) { stub = other }
