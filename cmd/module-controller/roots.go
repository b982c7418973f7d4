package main

// An image without files has no CA roots. These, the same as a Linux distribution's, are
// used where the system has none; those of the system win.
import _ "golang.org/x/crypto/x509roots/fallback"
