package provider

// Limits are what bounds how fast bases come in and are asked, and may change while a Provider
// runs. The zero value of each field means its default.
type Limits struct {
	Admission Admission
	// QuestionRate is lifecycle.Config's.
	QuestionRate float64
}

// complete gives the limits with defaults where they say nothing.
func (l Limits) complete() Limits {
	c := Config{Admission: l.Admission}
	c.QuestionRate = l.QuestionRate
	c = c.Complete()
	return Limits{c.Admission, c.QuestionRate}
}

// followLimits has an admission and a budget of questions keep to limits as they are at each
// time; nil leaves them as they were configured.
func followLimits(now func() Limits, door *admission, asked *questions) {
	if now == nil {
		return
	}
	door.limits = func() Admission { return now().complete().Admission }
	asked.rate = func() float64 { return now().complete().QuestionRate }
}
