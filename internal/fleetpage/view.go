package fleetpage

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"module-controller/election"
	"module-controller/internal/fleet"
)

// How much of each kind a page shows.
const (
	basesAPage  = 50
	mostPods    = 20
	mostBases   = 20
	mostMoves   = 30
	mostCauses  = 20
	mostMembers = 50
	longestWord = 253 // of what is searched for: that of a name
)

// Query is what is asked of a page. Its zero value shows what needs attention and the first
// bases.
type Query struct {
	// Search is a part of the name of a base or of its application, Member the name of an
	// owner; empty for all.
	Search, Member string
	// Trouble shows only bases that are not Ready or have no owner.
	Trouble bool
	// Page counts from 1.
	Page int
}

// queryOf reads a query. What is of no use in it is left out.
func queryOf(v url.Values) Query {
	word := func(key string) string {
		text := strings.TrimSpace(v.Get(key))
		return text[:min(len(text), longestWord)]
	}
	q := Query{Search: word("q"), Member: word("member"), Trouble: v.Get("show") == "trouble", Page: 1}
	if n, err := strconv.Atoi(v.Get("page")); err == nil && n > 1 {
		q.Page = n
	}
	return q
}

// link is the address of the page for a query.
func (q Query) link() string {
	v := url.Values{}
	set := func(key, value string) {
		if value != "" {
			v.Set(key, value)
		}
	}
	set("q", q.Search)
	set("member", q.Member)
	if q.Trouble {
		v.Set("show", "trouble")
	}
	if q.Page > 1 {
		v.Set("page", strconv.Itoa(q.Page))
	}
	if len(v) == 0 {
		return Path
	}
	return Path + "?" + v.Encode()
}

func (q Query) at(page int) Query { q.Page = page; return q }

func (q Query) fits(b base) bool {
	if q.Member != "" && b.Owner != q.Member {
		return false
	}
	if q.Trouble && !b.Trouble() {
		return false
	}
	word := strings.ToLower(q.Search)
	return strings.Contains(strings.ToLower(b.Name), word) || strings.Contains(strings.ToLower(b.App), word)
}

// view is what the template shows.
type view struct {
	Query
	Installation, Self, Version string
	At                          time.Time
	Notes                       []string

	LiveMembers, Ready, All, Unowned, Hidden int
	PodsReady, PodsAll                       int
	Balance                                  fleet.Balance

	Members []memberRow
	Broken  some[base]
	Waiting some[pod]
	Causes  some[cause]
	Moves   some[election.Move]
	// Found are the bases of this page of the list.
	Found                        some[base]
	Pages                        int
	Previous, Next, AllInTrouble string // addresses; empty for none
	MoreMembers                  int
	NothingWrong, NoMembers      bool
}

// some are the first of many.
type some[T any] struct {
	First []T
	All   int
}

func firstOf[T any](all []T, most int) some[T] { return some[T]{all[:min(len(all), most)], len(all)} }

// More is how many are not shown.
func (s some[T]) More() int { return s.All - len(s.First) }

// memberRow is a member as it is shown.
type memberRow struct {
	fleet.Member
	// Owns counts its bases, NotReady those of them whose Nodes are not Ready, Failing the
	// module pods on them that are not.
	Owns, NotReady, Failing int
	Renewed                 time.Duration
	Live, Self              bool
	Link                    string
}

// of gives what a query shows of it.
func (of *sum) view(q Query) view {
	f := of.Fleet
	v := view{
		Query: q, Installation: f.Namespace, Self: of.Self, Version: of.Version, At: f.At, Notes: of.Notes,
		LiveMembers: len(f.Live()), All: len(of.bases), Hidden: of.hidden, Balance: f.Balance(),
		PodsReady: of.ready, PodsAll: of.ready + len(of.pods),
		Waiting: firstOf(of.pods, mostPods), Causes: firstOf(of.causes, mostCauses), Moves: firstOf(of.Moves, mostMoves),
		AllInTrouble: Query{Trouble: true}.link() + "#bases",
	}
	var broken, found []base
	for _, b := range of.bases {
		if b.NotReady == "" {
			v.Ready++
		}
		if b.Owner == "" {
			v.Unowned++
		}
		if b.Trouble() {
			broken = append(broken, b)
		}
		if q.fits(b) {
			found = append(found, b)
		}
	}
	slices.SortStableFunc(broken, func(a, b base) int { return cmp.Compare(unknownLast(a.Since), unknownLast(b.Since)) })
	v.Broken = firstOf(broken, mostBases)
	v.NothingWrong = len(broken) == 0 && len(of.pods) == 0
	v.page(found)
	v.Members, v.MoreMembers = of.members()
	v.NoMembers = len(v.Members) == 0
	return v
}

// many is so many of something, in words.
func many(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return strconv.Itoa(n) + " " + of + "s"
}

// unknownLast sorts times, that which is not known last.
func unknownLast(t time.Time) int64 {
	if t.IsZero() {
		return int64(^uint64(0) >> 1)
	}
	return t.UnixNano()
}

// page shows the page that is asked for of what was found, or the last one.
func (v *view) page(found []base) {
	v.Pages = max((len(found)+basesAPage-1)/basesAPage, 1)
	v.Page = min(max(v.Page, 1), v.Pages)
	from := (v.Page - 1) * basesAPage
	v.Found = some[base]{found[from:min(from+basesAPage, len(found))], len(found)}
	if v.Page > 1 {
		v.Previous = v.at(v.Page-1).link() + "#bases"
	}
	if v.Page < v.Pages {
		v.Next = v.at(v.Page+1).link() + "#bases"
	}
}

// members are those that live and those that left of late, in the order of their names.
func (of *sum) members() (rows []memberRow, more int) {
	byName := map[string]*memberRow{}
	for _, m := range of.Fleet.Members {
		byName[m.Name] = &memberRow{Member: m, Renewed: of.Fleet.Silence(m).Round(time.Second), Live: m.Holder != "", Self: m.Name == of.Self,
			Link: Query{Member: m.Name}.link() + "#bases"}
	}
	for _, b := range of.bases {
		row := byName[b.Owner]
		if row == nil {
			continue
		}
		row.Owns++
		row.Failing += b.Failing
		if b.NotReady != "" {
			row.NotReady++
		}
	}
	for _, m := range of.Fleet.Members {
		rows = append(rows, *byName[m.Name])
	}
	shown := firstOf(rows, mostMembers)
	return shown.First, shown.More()
}
