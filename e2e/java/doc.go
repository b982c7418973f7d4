// Package java runs the product with real bases: JVMs with unmodified runtimes, which
// package javabase builds and starts.
//
// The tests have the build tag java, so that go test ./... does not run them: they need a
// JDK 17 and Maven.
package java
