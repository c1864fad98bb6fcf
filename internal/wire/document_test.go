package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/IBM/sarama"
)

const (
	documentFile = "../../docs/wire.md"
	vectorsFile  = "../envelope/testdata/vectors.json"
)

// document is docs/wire.md, by the sections of its tables and by its blocks.
type document struct {
	text   string
	tables map[string][][]string // below a heading, the rows of all its tables
	blocks map[string][]string   // by the line after ```
}

func readDocument(t *testing.T) document {
	t.Helper()
	b, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	d := document{text: string(b), tables: map[string][][]string{}, blocks: map[string][]string{}}
	heading, block := "", ""
	for line := range strings.Lines(d.text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case block != "" && line == "```":
			block = ""
		case block != "":
			d.blocks[block] = append(d.blocks[block], line)
		case strings.HasPrefix(line, "```"):
			block = line
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		case strings.HasPrefix(line, "|"):
			var cells []string
			for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				cells = append(cells, strings.TrimSpace(cell))
			}
			d.tables[heading] = append(d.tables[heading], cells)
		}
	}
	return d
}

// rows returns the rows of the table whose header begins with column, without
// header and rule.
func (d document) rows(t *testing.T, heading, column string) [][]string {
	t.Helper()
	rows := d.tables[heading]
	at := slices.IndexFunc(rows, func(r []string) bool { return r[0] == column })
	if at < 0 || len(rows) < at+3 {
		t.Fatalf("no table of %s below %q", column, heading)
	}
	rows = rows[at+2:]
	if rule := slices.IndexFunc(rows, func(r []string) bool { return r[0] == "---" }); rule > 0 {
		rows = rows[:rule-1] // the next table
	}
	return rows
}

func (d document) block(t *testing.T, name string) []string {
	t.Helper()
	lines := d.blocks["```"+name]
	if len(lines) == 0 {
		t.Fatalf("no block %q", name)
	}
	return lines
}

// code is the text of a cell that is `code`.
func code(t *testing.T, cell string) string {
	t.Helper()
	if len(cell) < 3 || cell[0] != '`' || cell[len(cell)-1] != '`' {
		t.Fatalf("cell %q is no code", cell)
	}
	return cell[1 : len(cell)-1]
}

func TestDocumentHeaders(t *testing.T) {
	d := readDocument(t)
	good := map[string][]pair{
		"Of a request": append([]pair{{"op", OpPing}}, requestPairs...),
		"Of a reply":   append([]pair{{"op", OpPing}}, replyPairs...),
	}
	for heading, names := range map[string][]string{
		"Of a request": requestNames[:], "Of a reply": replyNames[:], "Dead letters": dlqNames[:],
	} {
		var got, want []string
		for _, row := range d.rows(t, heading, "header") {
			name := code(t, row[0])
			got = append(got, name)
			if pairs := good[heading]; pairs != nil {
				checkPresence(t, heading, name, row[1], pairs)
			}
		}
		want = slices.Clone(names)
		if heading != "Dead letters" { // there the order means something
			slices.Sort(got)
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the document has headers %v, the code %v", heading, got, want)
		}
	}
}

// checkPresence compares what a row says of whether a header must be there with
// what happens when it is not.
func checkPresence(t *testing.T, heading, name, presence string, pairs []pair) {
	t.Helper()
	decode := func(pairs []pair) error {
		if heading == "Of a reply" {
			_, err := DecodeReply(replyRecord(pairs))
			return err
		}
		_, err := DecodeRequest(requestRecord(pairs))
		return err
	}
	without := with(pairs, name, "-")
	if name == HeaderReplyTo {
		without = with(without, HeaderReplyPartition, "-")
	}
	if required := decode(without) != nil; required == (presence == "optional") {
		t.Errorf("%s: %s is %q in the document, and required is %v", heading, name, presence, required)
	}
}

func TestDocumentStatuses(t *testing.T) {
	d := readDocument(t)
	var got []StatusInfo
	for _, row := range d.rows(t, "Statuses", "status") {
		exit, err := strconv.Atoi(row[3])
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, StatusInfo{Status: Status(code(t, row[0])), Meaning: row[1], Authenticated: row[2] == "yes", ExitCode: exit, Reply: true})
	}
	for _, row := range d.rows(t, "Dead letters", "reason") {
		s := Status(code(t, row[0]))
		at := slices.IndexFunc(got, func(i StatusInfo) bool { return i.Status == s })
		if at < 0 {
			got = append(got, StatusInfo{Status: s, Meaning: row[1], ExitCode: 1})
			at = len(got) - 1
		}
		if got[at].Meaning != row[1] {
			t.Errorf("%s means %q in one table and %q in the other", s, got[at].Meaning, row[1])
		}
		got[at].DeadLetter = true
	}
	if !slices.Equal(got, statusTable[:]) {
		t.Errorf("the document has\n%+v\nthe code\n%+v", got, statusTable)
	}
}

func TestDocumentNumbers(t *testing.T) {
	d := readDocument(t)
	for _, phrase := range []string{
		fmt.Sprintf("at most %d headers", MaxHeaders),
		fmt.Sprintf("at most %d bytes, strangers included", MaxHeaderBytes),
		fmt.Sprintf("| `timeout_ms` | required | number from 1 to %d |", maxTimeoutMS),
		fmt.Sprintf("| `sent_ms` | required | number up to %d |", maxUnixMS),
		fmt.Sprintf("| `reply_partition` | with `reply_to` | number up to %d |", maxPartition),
		fmt.Sprintf("| `attempt` | required | number up to %d |", maxAttempt),
		fmt.Sprintf("| `duration_ms` | required | number up to %d |", maxDurationMS),
		fmt.Sprintf("| `dlq_partition` | number up to %d |", maxPartition),
		fmt.Sprintf("| `dlq_offset` | number up to %d |", int64(maxOffset)),
		fmt.Sprintf("| `dlq_ts` | number up to %d, or `%d` |", maxUnixMS, noTimestamp),
		fmt.Sprintf("1 to %d of `a-z A-Z 0-9 . _ -`", maxTopic),
		fmt.Sprintf("1 to %d bytes of ASCII", maxTrace),
		fmt.Sprintf("1 to %d bytes of UTF-8", maxPlugin),
		"`" + DeadLetterSuffix + "` after it",
	} {
		if !strings.Contains(strings.Join(strings.Fields(d.text), " "), phrase) {
			t.Errorf("the document does not say %q", phrase)
		}
	}
}

func TestDocumentMurmur2(t *testing.T) {
	rows := readDocument(t).rows(t, "Partitions", "key")
	if vectors := readPartitionVectors(t).Cases; len(rows) != len(vectors) {
		t.Errorf("the document has %d keys, %s %d", len(rows), partitionsFile, len(vectors))
	}
	for _, row := range rows {
		key := ""
		if row[0] != "(empty)" {
			key = code(t, row[0])
		}
		if got := fmt.Sprint(int32(murmur2([]byte(key)))); got != row[1] {
			t.Errorf("murmur2(%q) = %s, the document has %s", key, got, row[1])
		}
		for i, n := range []int32{16, 12} {
			if got := fmt.Sprint(Partition([]byte(key), n)); got != row[2+i] {
				t.Errorf("Partition(%q, %d) = %s, the document has %s", key, n, got, row[2+i])
			}
		}
	}
}

func TestDocumentLinks(t *testing.T) {
	d := readDocument(t)
	headings := map[string]bool{}
	for line := range strings.Lines(d.text) {
		if strings.HasPrefix(line, "#") {
			headings[strings.ReplaceAll(strings.ToLower(strings.Trim(line, "# \n")), " ", "-")] = true
		}
	}
	links := regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(d.text, -1)
	if len(links) < 10 {
		t.Fatalf("found %d links", len(links))
	}
	for _, link := range links {
		if anchor, ok := strings.CutPrefix(link[1], "#"); ok {
			if !headings[anchor] {
				t.Errorf("no heading for %s", link[1])
			}
		} else if _, err := os.Stat("../../docs/" + link[1]); err != nil {
			t.Error(err)
		}
	}
}

// hexOf reads lines of hex with what is after ; left out.
func hexOf(t *testing.T, lines []string) string {
	t.Helper()
	var all strings.Builder
	for _, line := range lines {
		line, _, _ = strings.Cut(line, ";")
		all.WriteString(strings.ReplaceAll(line, " ", ""))
	}
	if _, err := hex.DecodeString(all.String()); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestDocumentExample: the bytes in the document are those of the vectors, and
// they are what this package makes of the headers in the document.
func TestDocumentExample(t *testing.T) {
	d := readDocument(t)
	b, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []map[string]any }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	vector := func(name, field string) string {
		t.Helper()
		for _, c := range file.Cases {
			if c["name"] == name {
				return fmt.Sprint(c[field])
			}
		}
		t.Fatalf("no vector %q", name)
		return ""
	}

	for _, line := range d.block(t, "fields vector=request") {
		name, value, _ := strings.Cut(line, " ")
		if got, want := strings.TrimSpace(value), vector("request", name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	for _, tt := range []struct{ block, vector, field string }{
		{"aad vector=request", "request", "aad"},
		{"sealed vector=request", "request", "sealed"},
		{"about vector=reply", "reply", "about"},
		{"sealed vector=reply", "reply", "sealed"},
	} {
		if got, want := hexOf(t, d.block(t, tt.block)), vector(tt.vector, tt.field); got != want {
			t.Errorf("%s is\n%s, want\n%s", tt.block, got, want)
		}
	}

	headers := func(name string) []*sarama.RecordHeader {
		var pairs []pair
		for _, line := range d.block(t, name) {
			name, value, ok := strings.Cut(line, ": ")
			if !ok {
				t.Fatalf("line %q is no header", line)
			}
			pairs = append(pairs, pair{name, value})
		}
		return headersOf(pairs...)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	request, err := DecodeRequest(&sarama.ConsumerMessage{Topic: "calculate", Headers: headers("headers vector=request")})
	if err != nil || !bytes.Equal(request.AppendAbout(nil), unhex(vector("request", "about"))) {
		t.Errorf("the example request: %v, about %x", err, request.AppendAbout(nil))
	}
	if about := hexOf(t, d.block(t, "aad vector=request")[2:]); about != vector("request", "about") {
		t.Errorf("from the third line on the AAD is %s", about)
	}
	reply, err := DecodeReply(&sarama.ConsumerMessage{Headers: headers("headers vector=reply")})
	if err != nil || !bytes.Equal(reply.AppendAbout(nil), unhex(vector("reply", "about"))) {
		t.Errorf("the example reply: %v, about %x", err, reply.AppendAbout(nil))
	}
}
