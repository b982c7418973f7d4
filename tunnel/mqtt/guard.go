//go:build !mutant

package mqtttunnel

import paho "github.com/eclipse/paho.mqtt.golang"

// retain says whether commands are retained: never.
const retain = false

// mutate changes nothing: this build has all its guards. Builds with the tag mutant
// lack one, so that tests show that they notice.
func (s *session) mutate(*paho.ClientOptions) {}
