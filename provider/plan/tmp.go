package plan

func (c Config) Complete() Config { return c.complete() }
func (c Config) Validate() error { return nil }
func (c NodeConfig) Complete() NodeConfig { return c }
func (c NodeConfig) Validate() error { return nil }
