//go:build browser

package browser

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"module-controller/e2e/world"
)

// troubled is the title while a base is silent and a pod waits: that, and the one on the base.
var troubled = regexp.MustCompile(`^1 base, (1 pod|2 pods) in trouble – `)

// The page can be read and used on a desktop and on a phone: nothing is beyond its edge, what
// is to be touched is large enough, all text stands out, and who does not see it is told
// what is what.
func TestThePageOnADesktopAndAPhone(t *testing.T) {
	const bases = 12
	w := cluster.New(t).WithBroker().WithFleet(bases).WithStock(3, bases, "STALE_AFTER=4s")
	w.Must(w.Fleet.Do("base-0003", "silence"))
	w.AwaitNodeReason("base-0003", "BaseSilent")
	w.Must(w.Fleet.Do("base-0005", "fail-installs?n=all"))
	w.CreatePod("orders", "base-0005", "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	w.AwaitWaiting("orders", "InstallBackOff")
	for name, on := range map[string]screen{"desktop": desktop, "phone": phone} {
		t.Run(name, func(t *testing.T) {
			tab := newTab(t, w, on)
			tab.open(tab.page(0))
			tab.eventually(func() error { // it shows what happened at most 7 s ago
				if title := read[string](tab, `document.title`); !troubled.MatchString(title) {
					return fmt.Errorf("the title is %q", title)
				}
				return nil
			})
			checkWidth(tab, on.width)
			checkTold(tab)
			for _, scheme := range []string{"dark", "light"} {
				setScheme(tab, scheme)
				checkContrast(tab, scheme)
			}
			if on.options == nil {
				checkKeys(tab)
			} else {
				checkTargets(tab)
				checkCards(tab)
			}
			tab.checkQuiet()
			if *shots != "" {
				shoot(tab, filepath.Join(*shots, "fleet-"+name+".png"))
			}
		})
	}
}

// checkWidth checks that the page cannot be scrolled to the side, nor is made small to fit.
func checkWidth(t *tab, width int64) {
	t.Helper()
	is := read[struct{ Shown, Needed, Scrolled float64 }](t, `(() => {
		scrollTo(10000, 0);
		return {Shown: visualViewport.width, Needed: document.documentElement.scrollWidth, Scrolled: scrollX};
	})()`)
	if is.Shown > float64(width) || is.Needed > float64(width) || is.Scrolled != 0 {
		t.Errorf("on %d px the page shows %v, needs %v and scrolls to %v", width, is.Shown, is.Needed, is.Scrolled)
	}
}

// checkTargets checks that what is to be touched is at least 44 px wide and high, as WCAG 2.2
// has it in 2.5.5.
func checkTargets(t *tab) {
	t.Helper()
	for _, small := range read[[]string](t, `[...document.querySelectorAll("a, button, input:not([type=hidden])")].flatMap((e) => {
		const {width, height} = e.getBoundingClientRect();
		return width >= 44 && height >= 44 ? [] : [(e.textContent.trim() || e.name) + ": " + width + " by " + height];
	})`) {
		t.Errorf("too small to be touched: %s", small)
	}
}

// checkCards checks that a row is a card on a phone, whose values stand below each other.
func checkCards(t *tab) {
	t.Helper()
	for _, astray := range read[[]string](t, `[...document.querySelectorAll("td")].flatMap((e) =>
		Math.abs(e.getBoundingClientRect().left - e.parentElement.firstElementChild.getBoundingClientRect().left) < 1 && getComputedStyle(e).textAlign === "left" ? [] : [e.dataset.is])`) {
		t.Errorf("it does not stand below the others of its card: %s", astray)
	}
}

// checkContrast checks that all text has a contrast of 4.5 at least to what is behind it, as
// WCAG 2.2 has it in 1.4.3.
func checkContrast(t *tab, scheme string) {
	t.Helper()
	read := read[struct {
		Texts int
		Poor  []string
	}](t, `(() => {
		const parts = (color) => color.match(/[\d.]+/g).map(Number);
		const light = (color) => {
			const [r, g, b] = parts(color).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
			return 0.2126 * r + 0.7152 * g + 0.0722 * b;
		};
		const behind = (e) => {
			for (; e; e = e.parentElement) {
				const color = getComputedStyle(e).backgroundColor;
				if ((parts(color)[3] ?? 1) === 1) return color;
			}
			return "rgb(255, 255, 255)";
		};
		const texts = [], all = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		while (all.nextNode()) {
			const e = all.currentNode.parentElement;
			if (all.currentNode.data.trim() && !e.closest("script, noscript")) texts.push([all.currentNode.data, getComputedStyle(e).color, behind(e)]);
		}
		const search = document.getElementById("q");
		texts.push([search.placeholder, getComputedStyle(search, "::placeholder").color, behind(search)]);
		return {Texts: texts.length, Poor: texts.flatMap(([text, on, back]) => {
			const [a, b] = [light(on), light(back)].sort((a, b) => b - a), contrast = (a + 0.05) / (b + 0.05);
			return contrast >= 4.5 ? [] : [text.slice(0, 40) + ": " + on + " on " + back + " is " + contrast.toFixed(2)];
		})};
	})()`)
	if read.Texts < 100 {
		t.Errorf("%d texts were looked at: the page has more", read.Texts)
	}
	for _, poor := range read.Poor {
		t.Errorf("%s: a contrast below 4.5: %s", scheme, poor)
	}
}

// setScheme has the page shown as to those who prefer light or dark.
func setScheme(t *tab, scheme string) {
	t.Helper()
	call(t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// checkTold checks what a screen reader is told: the parts of the page by name, and tables
// that are tables.
func checkTold(t *tab) {
	t.Helper()
	text := func(v *accessibility.Value) (is string) {
		if v != nil {
			_ = json.Unmarshal(v.Value, &is) // what is no text is none of those that are looked for
		}
		return is
	}
	count, nameless := map[string]int{}, map[string]int{}
	for _, n := range call(t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
		role := text(n.Role)
		if n.Ignored || role == "" {
			continue
		}
		if count[role]++; text(n.Name) == "" {
			nameless[role]++
		}
	}
	for role, want := range map[string]int{"banner": 1, "main": 1, "contentinfo": 1, "search": 1, "region": 6, "table": 6, "searchbox": 1, "status": 1} {
		if count[role] != want {
			t.Errorf("there are %d of the role %q, want %d", count[role], role, want)
		}
	}
	for _, role := range []string{"region", "link", "button", "searchbox", "heading", "meter", "columnheader", "rowheader"} {
		if count[role] == 0 || nameless[role] > 0 {
			t.Errorf("%d of %d of the role %q have no name", nameless[role], count[role], role)
		}
	}
	if rows := read[int](t, `document.querySelectorAll("tbody tr").length`); count["rowheader"] != rows {
		t.Errorf("%d rows have %d headers", rows, count["rowheader"])
	}
	if language := read[string](t, `document.documentElement.lang`); language != "en" {
		t.Errorf("the language is %q", language)
	}
}

// checkKeys checks that the page is used by keys alone: what has the focus is seen, comes in
// the order of the page, and has it still when the page has renewed itself.
func checkKeys(t *tab) {
	t.Helper()
	const focused = `(() => {
		const e = document.activeElement;
		return {Is: e.id || e.textContent.trim(), Outline: getComputedStyle(e).outlineStyle};
	})()`
	type at struct{ Is, Outline string }
	for _, want := range []string{"q", "Find", world.ReplicaName(0), world.ReplicaName(1)} {
		t.do(chromedp.KeyEvent(kb.Tab))
		if is := read[at](t, focused); is.Is != want || is.Outline == "none" {
			t.Errorf("a Tab leads to %+v, want %q and an outline", is, want)
		}
	}
	awaitRenewed(t)
	if is := read[at](t, focused); is.Is != world.ReplicaName(1) {
		t.Errorf("when the page has renewed itself %q has the focus, want %q", is.Is, world.ReplicaName(1))
	}
	t.do(chromedp.KeyEvent(kb.Enter))
	t.eventually(func() error {
		if shown := read[string](t, `location.search + location.hash`); shown != "?member="+world.ReplicaName(1)+"#bases" {
			return fmt.Errorf("Enter leads to %q", shown)
		}
		return nil
	})
}

// awaitRenewed waits until the page has renewed itself, in place.
func awaitRenewed(t *tab) {
	t.Helper()
	const seen = `document.querySelector("#fleet time").dateTime`
	before := read[string](t, seen)
	read[bool](t, `window.mark = true`)
	t.eventually(func() error {
		if read[string](t, seen) == before {
			return fmt.Errorf("it shows the fleet at %s still", before)
		}
		return nil
	})
	if !read[bool](t, `window.mark === true`) {
		t.Error("the page was loaded anew, not renewed in place")
	}
}

// shoot takes a picture of the screen, in the 256 colours that it has most of.
func shoot(t *tab, path string) {
	t.Helper()
	t.open(t.page(0))
	shot, err := png.Decode(bytes.NewReader(give(t, chromedp.CaptureScreenshot())))
	t.must(err)
	count := map[color.Color]int{}
	for y := range shot.Bounds().Dy() {
		for x := range shot.Bounds().Dx() {
			count[shot.At(x, y)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return cmp.Compare(count[b], count[a]) })
	picture := image.NewPaletted(shot.Bounds(), most[:min(len(most), 256)])
	draw.Draw(picture, picture.Bounds(), shot, image.Point{}, draw.Src)
	var to bytes.Buffer
	t.must((&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&to, picture))
	t.must(os.WriteFile(path, to.Bytes(), 0o644))
	t.Logf("%s has %d bytes", path, to.Len())
}
