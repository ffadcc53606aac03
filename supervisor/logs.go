package supervisor

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// logLines returns what makes log entries of a worker's stderr. A line of JSON as
// hclog writes it keeps its level and its fields. A line that begins like the end of
// a Go program raises itself and all after it to an error. (The idea is go-plugin's.)
func logLines(log hclog.Logger) LineFunc {
	dying := false
	return func(line []byte, final bool) {
		if entry, ok := parseEntry(line); ok && !dying {
			log.Log(entry.level, entry.text, entry.fields...)
			return
		}
		text := strings.TrimRight(string(line), "\r")
		dying = dying || strings.HasPrefix(text, "panic:") || strings.HasPrefix(text, "fatal error:")
		if dying {
			log.Error(text)
		} else {
			log.Info(text)
		}
	}
}

type logEntry struct {
	level  hclog.Level
	text   string
	fields []any
}

func parseEntry(line []byte) (e logEntry, ok bool) {
	if len(line) == 0 || line[0] != '{' {
		return e, false
	}
	var raw map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber() // a large id is no float
	if d.Decode(&raw) != nil || d.More() {
		return e, false
	}
	level, _ := raw["@level"].(string)
	e.level = hclog.LevelFromString(level)
	e.text, ok = raw["@message"].(string)
	if e.level == hclog.NoLevel || !ok {
		return e, false
	}
	for _, k := range slices.Sorted(maps.Keys(raw)) {
		if !strings.HasPrefix(k, "@") {
			e.fields = append(e.fields, k, raw[k])
		}
	}
	return e, true
}
