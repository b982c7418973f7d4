package basetest

import (
	"regexp"
	"strings"
)

// normal makes two answers to the same question equal where they differ only in what
// cannot be the same twice:
//   - times (changeTime, publishTimestamp, start, end, elapsed) and the name of a
//     working directory or message that has a time in it;
//   - sizes (elapsedSpace, all numbers of the JVM but the limit of the metaspace, which
//     is compared) and the processors' numbers;
//   - the lines of a stack trace that name code: exceptions and their order are
//     compared;
//   - what names the machine: processor, JDK, Java's home, where the base's jar is;
//   - the thread of an asynchronous command, and whether the answer to it was written
//     before or after the command began: it says INITIALIZED or EXECUTING or, of a
//     quick one, how it ended.
func normal(v any) any { return normalIn("", v) }

var volatileNumbers = map[string]bool{
	"changeTime": true, "publishTimestamp": true, "startTime": true, "startTimestamp": true, "endTime": true, "endTimestamp": true,
	"elapsedTime": true, "elapsedSpace": true, "java used metaspace": true, "java committed metaspace": true,
	"run time(s)": true, "loaded class count": true, "unload class count": true, "total class count": true,
}

var volatileTexts = map[string]bool{"type": true, "java version": true, "java home": true, "threadName": true}

var (
	directory = regexp.MustCompile(`/[^"]*/([^/]+)-\d{17}-unpack`)
	cost      = regexp.MustCompile(`cost: \d+ ms, started at: [\d:,]+`)
	jarOfBase = regexp.MustCompile(`file:/[^"!]*/base[^/"!]*\.jar!`)
	port      = regexp.MustCompile(`Port \d+ is`)
	nested    = regexp.MustCompile(`; nested exception is .*`) // Spring 5 repeats the cause, which is compared
)

func normalIn(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		return normalObject(v)
	case []any:
		list := []any{}
		for _, e := range v {
			list = append(list, normalIn(key, e))
		}
		return list
	case float64:
		if volatileNumbers[key] || strings.Contains(key, "(M)") || strings.Contains(key, "(%)") {
			return 0.0
		}
	case string:
		if volatileTexts[key] {
			return ""
		}
		return normalText(v)
	}
	return v
}

func normalObject(o map[string]any) map[string]any {
	n := map[string]any{}
	for k, v := range o {
		if k != "threadName" && k != "stackTrace" {
			n[k] = normalIn(k, v)
		}
	}
	return n
}

func normalText(text string) string {
	text = directory.ReplaceAllString(text, "/tmp/$1-unpack")
	text = cost.ReplaceAllString(text, "cost and start")
	text = jarOfBase.ReplaceAllString(text, "base.jar!")
	text = port.ReplaceAllString(text, "Port 8080 is")
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "\tat ") && !strings.HasPrefix(line, "\t... ") {
			lines = append(lines, nested.ReplaceAllString(line, ""))
		}
	}
	return strings.Join(lines, "")
}

// begun makes answers to an asynchronous command alike, however far it was.
func begun(v any) any {
	o, _ := v.(map[string]any)
	data, _ := o["data"].(map[string]any)
	if data == nil || data["arkBizMeta"] == nil {
		return v
	}
	for _, k := range []string{"endTime", "message", "throwable"} {
		delete(data, k)
	}
	data["status"] = "BEGUN"
	return v
}
