module module-controller/e2e/alerts

go 1.26.8

require (
	github.com/prometheus/prometheus v0.316.0
	module-controller/e2e v0.0.0
)

replace module-controller/e2e => ../
