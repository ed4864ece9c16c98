//go:build !profile

package main

// startProfile does nothing outside of benchmark builds.
func startProfile() (stop func()) { return func() {} }
