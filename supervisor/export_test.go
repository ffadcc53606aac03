package supervisor

// CheckLeaks is checkLeaks for the tests that see this package as its users do.
var CheckLeaks = checkLeaks
