// Package proto is the bytes that Multiproc's processes exchange: frames, messages,
// values, limits, and errors that travel. PROTOCOL.md beside it is the normative
// text; this is the same in one page.
//
// A frame is eight bytes of header and a body:
//
//	+-----------------+-------------+--------+------------+------//------+
//	| body length u32 | descriptors | flags  | reserved   | body         |
//	| big-endian      | u8          | u8 = 0 | u16 = 0    | one array    |
//	+-----------------+-------------+--------+------------+------//------+
//
// The body is one MessagePack array in the shapes of MessagePack-RPC:
//
//	[0, id, method, params]   request       AppendRequest
//	[1, id, error, result]    response      AppendResponse   ParseMessage
//	[2, method, params]       notification  AppendNotify
//
// Both sides may ask, and each counts its ids from 1. The params of hello, ready,
// run, cancel and stop have a struct each, with an Append and a Parse function
// written by hand: an envelope costs no reflection and no allocation.
//
// A value of a user, a task's argument or result, is a [Payload]: encoded bytes, and
// the file descriptors of the handles in it. [Marshal] makes one of any Go value and
// [Unmarshal] opens it, strictly, with errors that name the place and say in words
// what was found and what was expected.
//
// Who keeps values of others, as a Manager does, works on the bytes: [ScanDeep] checks them
// when they come, [AppendKey], [Equal], [Compare] and [Add] have Python's rules for keys, ==, <
// and +, [Refs] finds references in them, and [AppendText] shows them to people.
//
// # Promises
//
// Nothing is allocated for what is not there: [Limits] are checked on the bytes,
// by [ParseHeader] and [Scan], before a decoder makes room for anything.
//
// No input makes a function of this package panic, run out of stack, or forget a
// descriptor. Fuzz targets hold it to that, without recover.
//
// What Marshal makes, Unmarshal with the same limits takes, and a frame can carry.
//
// The package makes no system call and closes no descriptor. Where it hands some
// out, its comment says whose they are.
//
// # Limits
//
// A frame has at most 64 MiB and 64 KiB; a value 64 MiB, 128 levels and 4,194,304
// elements; 64 descriptors. A larger thing goes in pieces, or in a file or shared
// memory that travels as a handle.
package proto
