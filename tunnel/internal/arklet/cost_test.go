package arklet

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"module-controller/tunnel"
)

// filled repeats a word, with commas, up to a length in bytes.
func filled(word string, length int) string {
	return strings.TrimSuffix(strings.Repeat(word+",", length/(len(word)+1)), ",")
}

// greedy are words that a decoder could make much of, when they are repeated in a list.
var greedy = []string{
	`1`, `{}`, `[]`, `null`, `""`, `"\u0000"`, `{"a":1}`, `{"name":"a","version":"1"}`, `{"name":"a","version":"1","latestStateRecord":{}}`,
	`{"bizStateRecords":[{},{},{},{},{},{},{}]}`, `[[[[[[]]]]]]`, `{"id":"a"}`, `{"id":[]}`,
}

// hostile has messages of about that length which cost much where a decoder is careless,
// by what they are.
func hostile(length int) map[string]string {
	messages := map[string]string{
		"one entry of records": `[{"bizName":"a","bizVersion":"1","bizStateRecords":[` + filled("{}", length) + `]}]`,
		"many fields":          `{` + filled(`"a":1`, length) + `}`,
		"one field again":      `{` + filled(`"data":[1,1,1,1]`, length) + `}`,
		"causes":               trace(length),
		"causes of repeats":    `{"code":"FAILED","data":{"code":"REPEAT_BIZ","message":"` + strings.Repeat("Biz: a", length/6) + `"}}`,
		"one word":             `{"code":"FAILED","message":"` + strings.Repeat("//:=", length/4) + `"}`,
	}
	for i := range 4096 {
		messages["many modules"] += fmt.Sprintf(`{"name":"m%d","version":"1","state":"ACTIVATED"},`, i)
	}
	messages["many modules"] = "[" + strings.TrimSuffix(messages["many modules"], ",") + "]"
	for _, word := range greedy {
		messages["list of "+word] = "[" + filled(word, length) + "]"
	}
	return messages
}

// trace is an answer whose stack trace names very many causes.
func trace(length int) string {
	return `{"code":"FAILED","errorStackTrace":"` + strings.Repeat(`Caused by: a.b.CException: x\n`, length/31) + `"}`
}

// allocated is how many bytes are allocated in f. The world outside allocates too: of some
// runs the least counts.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// decodeAll gives a message to every decoder.
func decodeAll(message string) {
	b := tunnel.BaseID{Env: "e", Identity: "b"}
	for _, k := range []Kind{KindHeart, KindBaseline, KindHealth, KindList, KindAnswer, KindBatch} {
		for _, m := range []string{`{"data":` + message + `}`, `{"data":{"command":"installBiz","bizName":"a","bizVersion":"1","response":` + message + `}}`} {
			_, _ = DecodeMQTT(b, k, []byte(m))
		}
	}
	for _, v := range []tunnel.Verb{tunnel.InstallModule, tunnel.ListModules, tunnel.ReadHealth} {
		for _, m := range []string{message, `{"code":"SUCCESS","data":` + message + `}`} {
			c := tunnel.Command{Verb: v}
			_ = DecodeResponse(c, []byte(m), &tunnel.Report{Base: b})
			_, _, _ = DecodeAsync(b, c, []byte(m))
		}
	}
	_, _ = DecodeHelp(b, []byte(`{"code":"SUCCESS","data":`+message+`}`))
	_, _ = DecodeHeartbeat("e", []byte(message))
}

// decoded is how many times a message is decoded by decodeAll.
const decoded = 12 + 12 + 2

// What a decoder makes of a message is bounded by its length, whatever it says.
func TestMemoryIsBoundedByTheLength(t *testing.T) {
	for name, message := range hostile(maxList / 4) {
		t.Run(name, func(t *testing.T) {
			got := allocated(func() { decodeAll(message) })
			if limit := uint64(decoded * (6*len(message) + 64<<10)); got > limit {
				t.Errorf("%d bytes become %d, more than %d", len(message), got, limit)
			}
		})
	}
}

// The same of whatever rapid finds.
func TestMemoryIsBoundedByTheLengthOfAnything(t *testing.T) {
	words := append([]string{"{", "}", "[", "]", `"bizStateRecords":`, `"data":`, `"message":"`, `Caused by: `, `"`, ":", ","}, greedy...)
	rapid.Check(t, func(t *rapid.T) {
		message := strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 1, 50).Draw(t, "words"), "")
		message = strings.Repeat(message, rapid.IntRange(1, 60).Draw(t, "times"))
		got := allocated(func() { decodeAll(message) })
		if limit := uint64(decoded * (8*len(message) + 64<<10)); got > limit {
			t.Fatalf("%d bytes become %d, more than %d", len(message), got, limit)
		}
	})
}

// A list is read up to the limit, and what follows makes it partial.
func TestAListIsReadUpToTheLimit(t *testing.T) {
	for entries, partial := range map[int]bool{maxModules: false, maxModules + 1: true} {
		var list []string
		for i := range entries {
			list = append(list, fmt.Sprintf(`{"name":"m%d","version":"1","state":"ACTIVATED"}`, i))
		}
		modules, got, err := modulesOf([]byte("[" + strings.Join(list, ",") + "]"))
		if err != nil || got != partial || len(modules) != maxModules {
			t.Errorf("of %d entries %d are read, partial %v, %v", entries, len(modules), got, err)
		}
	}
}

// Each kind of message has a limit of its own, which tells what was refused.
func TestEachKindHasItsLimit(t *testing.T) {
	for k, limit := range map[Kind]int{KindHeart: 64 << 10, KindBaseline: 64 << 10, KindHealth: 64 << 10, KindList: 256 << 10, KindAnswer: 512 << 10, KindBatch: 512 << 10} {
		_, err := DecodeMQTT(tunnel.BaseID{Env: "e", Identity: "b"}, k, []byte(strings.Repeat(" ", limit+1)))
		if ReasonOf(err) != string(TooLarge) {
			t.Errorf("%s of %d bytes: %v", k, limit+1, err)
		}
		if _, err = DecodeMQTT(tunnel.BaseID{Env: "e", Identity: "b"}, k, []byte(strings.Repeat(" ", limit))); ReasonOf(err) != string(NotJSON) {
			t.Errorf("%s of %d bytes: %v", k, limit, err)
		}
	}
}

// The last records of a list over HTTP are found whatever their texts hold.
func TestTheLastRecordCounts(t *testing.T) {
	for records, want := range map[string]string{
		`[]`: "", `[{"message":"a"}]`: "a", `[{"message":"a"},{"message":"b"}]`: "b", `null`: "", `7`: "",
		` [ {"message":"a, ]"} , {"tags":["x","y"],"message":"b\", [{"} ] `: "b\", [{",
	} {
		modules, _, err := modulesOf([]byte(`[{"bizName":"m","bizVersion":"1","bizStateRecords":` + records + `}]`))
		if err != nil || len(modules) != 1 || modules[0].Message != want {
			t.Errorf("of %s: %+v, %v, want %q", records, modules, err, want)
		}
	}
}

// Of very many causes the outermost and the last ones are told: the last is the root.
func TestTheRootOfManyCausesIsTold(t *testing.T) {
	var b strings.Builder
	b.WriteString("a.OuterException: outer\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "Caused by: a.InnerException: %d\n", i)
	}
	got := rootCause(b.String())
	if !strings.HasPrefix(got, "InnerException: 999; in InnerException: 998; ") {
		t.Errorf("the root is %q", got)
	}
	if n := len(causes(b.String())); n != maxCauses {
		t.Errorf("%d causes are kept", n)
	}
}

// What a base quotes is redacted before it goes anywhere.
func TestWhatABaseQuotesIsRedacted(t *testing.T) {
	const secret = "s3cr3t"
	url := "https://ci:" + secret + "@repo/orders.jar?sig=" + secret
	said := `{"code":"FAILED","message":"` + url + `","data":{"code":"FAILED","message":"IOException: code 403 for URL: ` + url + `"}}`
	for name, message := range map[string]string{
		"an answer":    said,
		"a trace":      `{"code":"FAILED","errorStackTrace":"a.XException: ` + url + `\nCaused by: a.YException: ` + url + `"}`,
		"no list":      `{"code":"FAILED","message":"` + url + `"}`,
		"a list":       `{"code":"SUCCESS","data":[{"bizName":"m","bizVersion":"1","bizStateRecords":[{"message":"` + url + `"}]}]}`,
		"an operation": `{"code":"SUCCESS","data":{"status":"FAILED","message":"` + url + `","throwable":{"@type":"a.XException","message":"` + url + `"}}}`,
		"a heartbeat":  `{"baseMetadata":{"identity":"b","name":"` + url + `","version":"` + url + `","clusterName":"` + url + `"},"localHostName":"` + url + `"}`,
	} {
		for _, v := range []tunnel.Verb{tunnel.InstallModule, tunnel.ListModules, tunnel.ReadHealth} {
			r, c := tunnel.Report{}, tunnel.Command{Verb: v}
			err := DecodeResponse(c, []byte(message), &r)
			_, a, _ := DecodeAsync(r.Base, c, []byte(message))
			h, _ := DecodeHeartbeat("e", []byte(message))
			if got := fmt.Sprintf("%+v %+v %v %+v %+v", r, r.Answer, err, a, h); strings.Contains(got, secret) {
				t.Errorf("%s to %s: %s", name, v, got)
			}
		}
	}
}

func BenchmarkHostileList(b *testing.B) {
	for name, list := range map[string]string{"numbers": "[" + filled("1", 1<<20) + "]", "objects": "[" + filled("{}", 1<<20) + "]"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := modulesOf([]byte(list)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCauses(b *testing.B) {
	for _, length := range []int{16 << 10, 256 << 10} {
		message := []byte(trace(length))
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			b.SetBytes(int64(length))
			for b.Loop() {
				if err := DecodeResponse(tunnel.Command{Verb: tunnel.InstallModule}, message, &tunnel.Report{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
