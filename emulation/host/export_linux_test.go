package host

var CheckTrusted = checkTrusted
