package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// show prints a result.
func (s *ipcShell) show(how show, r proto.Raw) error {
	switch how {
	case showValue:
		return s.print(r)
	case showMap:
		return s.print(mapOf(r))
	case showLines:
		return s.printLines(r)
	case showTruth, showStatus:
		yes, err := proto.ParseBool(r)
		if err == nil && how == showTruth {
			err = s.print(r)
		}
		if err == nil && !yes {
			err = negative
		}
		return err
	case showNumber:
		if n, err := proto.ParseUint(r); err != nil || n == 0 {
			return negative
		}
		return s.print(r)
	}
	return nil
}

// print prints a value on a line. With -r strings are printed as they are, and bytes, these without a newline.
func (s *ipcShell) print(r proto.Raw) error {
	line := s.line(nil, r)
	if _, err := s.stdout.Write(line); err != nil {
		return ending{exitRefused, fmt.Sprintf("write the result: %v", bare(err))}
	}
	return nil
}

// mapOf makes a map of pairs.
func mapOf(r proto.Raw) proto.Raw {
	pairs, _ := proto.Elements(r, nil)
	b := proto.AppendMapHeader(nil, len(pairs))
	for _, pair := range pairs {
		parts, _ := proto.Elements(pair, nil)
		for _, part := range parts {
			b = append(b, part...)
		}
	}
	return b
}

func (s *ipcShell) line(b []byte, r proto.Raw) []byte {
	if s.call.Raw {
		if text, err := proto.ParseString(r); err == nil {
			return append(append(b, text...), '\n')
		}
		if bin, err := proto.ParseBin(r); err == nil {
			return append(b, bin...)
		}
	}
	return append(appendJSON(b, r, s.client.Instance()), '\n')
}

func (s *ipcShell) printLines(r proto.Raw) error {
	items, err := proto.Elements(r, nil)
	if err != nil {
		return err
	}
	var b []byte
	for _, item := range items {
		b = s.line(b, item)
	}
	if _, err := s.stdout.Write(b); err != nil {
		return ending{exitRefused, fmt.Sprintf("write the result: %v", bare(err))}
	}
	return nil
}

// printJSON prints what is no value of the manager.
func (s *ipcShell) printJSON(v any) error {
	e := json.NewEncoder(s.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// A described is a description in JSON, with the names of PROTOCOL.md.
type described struct {
	ID      uint64 `json:"id"`
	Kind    string `json:"kind"`
	Name    string `json:"name,omitempty"`
	Leases  int    `json:"leases"`
	Stored  int    `json:"stored"`
	Kept    bool   `json:"kept"`
	Refs    int    `json:"refs"`
	Waiting int    `json:"waiting"`
	Length  *int   `json:"length,omitempty"`
	Text    string `json:"text"`
}

func describedOf(d proto.Description) described {
	v := described{d.ID, d.Kind, d.Name, d.Leases, d.Stored, d.Kept, d.Refs, d.Waiting, nil, d.Text}
	if d.Length >= 0 {
		v.Length = &d.Length
	}
	return v
}

// list prints a table of the objects, or a line of JSON for each.
func (s *ipcShell) list() error {
	list, err := s.client.List(s.ctx, s.call.Kind, s.call.Prefix)
	if err != nil {
		return err
	}
	if s.call.JSON {
		for _, d := range list {
			if err := s.printJSON(describedOf(d)); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tKIND\tNAME\tREFS\tWAITING\tLENGTH\tTEXT")
	for _, d := range list {
		length := "-"
		if d.Length >= 0 {
			length = strconv.Itoa(d.Length)
		}
		fmt.Fprintf(w, "@%d\t%s\t%s\t%d\t%d\t%s\t%s\n", d.ID, d.Kind, cell(d.Name), d.Refs, d.Waiting, length, shorten(d.Text))
	}
	return w.Flush()
}

// cell shows a name in a table, whatever is in it.
func cell(name string) string {
	if name == "" {
		return "-"
	}
	if strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) || c == ' ' }) {
		return strconv.Quote(name)
	}
	return name
}

func (s *ipcShell) describe() error {
	d, err := s.client.Describe(s.ctx, s.object())
	if err != nil {
		return err
	}
	return s.printJSON(describedOf(d))
}

// create creates an object that the manager keeps, and prints its id.
func (s *ipcShell) create() error {
	if t, err := s.call.target(s.call.words[1]); err != nil || t.Name == "" {
		return usageError("%s: found %s; expected a name of 1 to 255 bytes, other than @ and a number", s.call.name(), quote(s.call.words[1]))
	}
	args, err := s.encodeArgs(nil, s.call.args[2:])
	if err != nil {
		return err
	}
	args = flat(args)
	a, err := s.client.Create(s.ctx, s.call.words[0], args, ipc.ManagedOptions{Name: s.call.words[1], Keep: true, Existing: s.call.Existing})
	if err != nil {
		return err
	}
	_, err = s.client.Keep(s.ctx, ipc.Numbered(a.ID), true)
	if err == nil {
		_, err = fmt.Fprintf(s.stdout, "@%d\n", a.ID)
	}
	return err
}

// flat is the one array in an array.
func flat(args proto.Raw) proto.Raw { return args[1:] }

// drop has the manager no longer keep an object, which ends when nobody else refers to it.
func (s *ipcShell) drop() error {
	was, err := s.client.Keep(s.ctx, s.object(), false)
	if err == nil && !was {
		return ending{exitNegative, "the manager did not keep it"}
	}
	return err
}

// callAny calls any operation of any object.
func (s *ipcShell) callAny() error {
	args, err := s.encodeArgs(nil, s.call.args[1:])
	if err != nil {
		return err
	}
	p, err := s.ask(s.call.words[1], flat(args))
	if err != nil {
		return err
	}
	return s.print(p.Bytes)
}

func (s *ipcShell) stats() error {
	n, err := s.client.Stats(s.ctx)
	if err != nil {
		return err
	}
	return s.printJSON(struct {
		Connections int    `json:"connections"`
		Objects     int    `json:"objects"`
		Leases      int    `json:"leases"`
		Waiting     int    `json:"waiting"`
		Bytes       int    `json:"bytes"`
		Calls       uint64 `json:"calls"`
	}(n))
}

func (s *ipcShell) ping() error     { return s.client.Ping(s.ctx) }
func (s *ipcShell) shutdown() error { return s.client.Shutdown(s.ctx) }
