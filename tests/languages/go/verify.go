// Verify reads a log over HTTP as C2SP tlog-tiles and checks it with golang.org/x/mod/sumdb alone: the signature of
// the checkpoint, that an event is in its tree, and that the log only grew since a checkpoint that was kept.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// server reads paths below an address. It is the tlog.TileReader of that log.
type server struct{ url, token string }

func (s server) get(path string) ([]byte, error) {
	request, err := http.NewRequest("GET", s.url+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func (s server) Height() int { return height }

func (s server) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		// sumdb has the height in the path, tlog-tiles does not: it is always 8.
		data, err := s.get("tile/" + strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height)))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (s server) SaveTiles([]tlog.Tile, [][]byte) {}

// entries returns the entries of one bundle; the last one of a tree may be partial.
func (s server) entries(number, size int64) ([][]byte, error) {
	tile := tlog.Tile{H: height, L: 0, N: number, W: 1 << height}
	if rest := size - number<<height; rest < 1<<height {
		tile.W = int(rest)
	}
	data, err := s.get("tile/entries/" + strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/0/", height)))
	if err != nil {
		return nil, err
	}
	var found [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("entries %d are cut off", number)
		}
		length := int(binary.BigEndian.Uint16(data))
		found, data = append(found, data[2:2+length]), data[2+length:]
	}
	return found, nil
}

// opened returns the tree of a checkpoint that the key has signed.
func opened(signed []byte, key note.Verifier) (tlog.Tree, error) {
	found, err := note.Open(signed, note.VerifierList(key))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(found.Text, "\n")
	if len(lines) < 4 || lines[0] != key.Name() {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s", key.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("no root hash: %q", lines[2])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree, nil
}

// field cuts the first field off an entry: a length of 4 bytes, and its bytes; none where the length is 0xFFFFFFFF.
func field(entry []byte) (value, rest []byte, ok bool) {
	if len(entry) < 4 {
		return nil, nil, false
	}
	length := binary.BigEndian.Uint32(entry)
	if length == 0xFFFFFFFF {
		return nil, entry[4:], true
	}
	if uint64(len(entry)-4) < uint64(length) {
		return nil, nil, false
	}
	return entry[4 : 4+length], entry[4+length:], true
}

// event returns the fields of an entry: origin, epoch, position, subject, event ID, time, hashes of headers and payload.
func event(entry []byte) (fields [8][]byte, ok bool) {
	if len(entry) < 2 || entry[0] != 1 || entry[1] != 1 {
		return fields, false
	}
	rest := entry[2:]
	for at := range fields {
		if fields[at], rest, ok = field(rest); !ok {
			return fields, false
		}
	}
	return fields, len(rest) == 0
}

func verifyEvent(log server, tree tlog.Tree, hashes tlog.HashReader, id string, payload []byte) error {
	for number := int64(0); number<<height < tree.N; number++ {
		entries, err := log.entries(number, tree.N)
		if err != nil {
			return err
		}
		for at, entry := range entries {
			fields, ok := event(entry)
			if !ok || string(fields[4]) != id {
				continue
			}
			index := number<<height + int64(at)
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				return err
			}
			position, hash := binary.BigEndian.Uint64(fields[2]), sha256.Sum256(payload)
			fmt.Printf("event %d is leaf %d, subject %s, payload %x\n", position, index, fields[3], fields[7])
			if payload != nil && string(hash[:]) != string(fields[7]) {
				return fmt.Errorf("the payload is another one")
			}
			return nil
		}
	}
	return fmt.Errorf("no event %s in the log", id)
}

func verify() error {
	url := flag.String("url", "", "address of the log")
	vkey := flag.String("key", "", "public key, as `runlore audit key` prints it")
	id := flag.String("event", "", "ID of an event that must be in the log")
	payloadFile := flag.String("payload", "", "file with the payload of that event, as it was logged")
	old := flag.String("old", "", "file with a checkpoint that was kept")
	out := flag.String("out", "", "file for the checkpoint")
	flag.Parse()
	key, err := note.NewVerifier(strings.TrimSpace(*vkey))
	if err != nil {
		return err
	}
	log := server{strings.TrimSuffix(*url, "/"), os.Getenv("TOKEN")}
	signed, err := log.get("checkpoint")
	if err != nil {
		return err
	}
	tree, err := opened(signed, key)
	if err != nil {
		return err
	}
	hashes := tlog.TileHashReader(tree, log)
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil || root != tree.Hash {
		return fmt.Errorf("the tiles do not give the signed root: %v", err)
	}
	fmt.Printf("checkpoint of %d leaves\n", tree.N)
	if *id != "" {
		var payload []byte
		if *payloadFile != "" {
			if payload, err = os.ReadFile(*payloadFile); err != nil {
				return err
			}
		}
		if err := verifyEvent(log, tree, hashes, *id, payload); err != nil {
			return err
		}
	}
	if *old != "" {
		kept, err := os.ReadFile(*old)
		if err != nil {
			return err
		}
		before, err := opened(kept, key)
		if err != nil {
			return fmt.Errorf("%s: %w", *old, err)
		}
		proof, err := tlog.ProveTree(tree.N, before.N, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash); err != nil {
			return fmt.Errorf("the log does not begin with that of %s: %w", *old, err)
		}
		fmt.Printf("only grew since %d leaves\n", before.N)
	}
	if *out != "" {
		return os.WriteFile(*out, signed, 0o644)
	}
	return nil
}

func main() {
	if err := verify(); err != nil {
		fmt.Fprintln(os.Stderr, "WRONG:", err)
		os.Exit(1)
	}
}
