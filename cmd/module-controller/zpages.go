package main

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	flagzalpha "k8s.io/apiserver/pkg/server/flagz/api/v1alpha1"
	flagz "k8s.io/apiserver/pkg/server/flagz/api/v1beta1"
	statuszalpha "k8s.io/apiserver/pkg/server/statusz/api/v1alpha1"
	statusz "k8s.io/apiserver/pkg/server/statusz/api/v1beta1"
	"k8s.io/apiserver/pkg/server/statusz/negotiate"
)

// component is what this program is called in its pages.
const component = "module-controller"

// classified is shown instead of a secret, as Kubernetes' programs do.
const classified = "CLASSIFIED"

// zpage is a page that Kubernetes' programs have too, in their forms: a text for people, or an
// object for who asks for one by its Accept header.
type zpage struct {
	name  string
	text  func(io.Writer)
	kinds map[schema.GroupVersionKind]func() apiruntime.Object
}

// mediaTypes are those of a page, the one for whoever names none first.
var mediaTypes = func() []apiruntime.SerializerInfo {
	all := serializer.NewCodecFactory(apiruntime.NewScheme()).SupportedMediaTypes()
	objects := slices.DeleteFunc(all, func(i apiruntime.SerializerInfo) bool {
		return i.MediaType != apiruntime.ContentTypeJSON && i.MediaType != apiruntime.ContentTypeYAML
	})
	return append([]apiruntime.SerializerInfo{{MediaType: "text/plain", MediaTypeType: "text", MediaTypeSubType: "plain"}}, objects...)
}()

// ServeHTTP implements http.Handler.
func (z zpage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rules := negotiate.StatuszEndpointRestrictions{RecognizedStructuredKinds: map[schema.GroupVersionKind]bool{}}
	for kind := range z.kinds {
		rules.RecognizedStructuredKinds[kind] = true
	}
	form, ok := negotiation.NegotiateMediaTypeOptions(r.Header.Get("Accept"), mediaTypes, rules)
	switch {
	case !ok:
		http.Error(w, z.refusal(), http.StatusNotAcceptable)
		return
	case form.Convert == nil:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintf(w, "\n%s %s\nWarning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.\n", component, z.name)
		z.text(w)
		return
	case form.Convert.Version == flagzalpha.Version:
		w.Header().Set("Warning", fmt.Sprintf("299 - %q", z.name+" v1alpha1 is deprecated: ask for v1beta1"))
	}
	w.Header().Set("Content-Type", form.Accepted.MediaType)
	_ = form.Accepted.Serializer.Encode(z.kinds[*form.Convert](), w)
}

// refusal says in which forms the page is served.
func (z zpage) refusal() string {
	forms := []string{"text/plain"}
	for kind := range z.kinds {
		forms = append(forms, fmt.Sprintf("application/json;v=%[1]s;g=%[2]s;as=%[3]s", kind.Version, kind.Group, kind.Kind),
			fmt.Sprintf("application/yaml;v=%[1]s;g=%[2]s;as=%[3]s", kind.Version, kind.Group, kind.Kind))
	}
	slices.Sort(forms)
	return "only these are served: " + strings.Join(forms, ", ")
}

// statuszPage shows what this process is and how it goes; paths are what there is beside it.
func (s *session) statuszPage(paths []string) zpage {
	now := func() statusz.Statusz {
		return statusz.Statusz{
			TypeMeta:   typed(statusz.SchemeGroupVersion.WithKind("Statusz")),
			ObjectMeta: metav1.ObjectMeta{Name: component}, StartTime: metav1.NewTime(started), UptimeSeconds: int64(time.Since(started).Seconds()),
			GoVersion: runtime.Version(), BinaryVersion: version, Paths: paths,
		}
	}
	return zpage{"statusz", func(w io.Writer) { s.status(w, now()) }, map[schema.GroupVersionKind]func() apiruntime.Object{
		statusz.SchemeGroupVersion.WithKind("Statusz"): func() apiruntime.Object { o := now(); return &o },
		statuszalpha.SchemeGroupVersion.WithKind("Statusz"): func() apiruntime.Object {
			o := statuszalpha.Statusz(now())
			o.TypeMeta = typed(statuszalpha.SchemeGroupVersion.WithKind("Statusz"))
			return &o
		},
	}}
}

// flagzPage shows the values that this process runs with, by flag.
func (s *session) flagzPage() zpage {
	now := func() flagz.Flagz {
		return flagz.Flagz{TypeMeta: typed(flagz.SchemeGroupVersion.WithKind("Flagz")), ObjectMeta: metav1.ObjectMeta{Name: component}, Flags: s.cfg.flags()}
	}
	return zpage{"flagz", func(w io.Writer) { writeFlags(w, now().Flags) }, map[schema.GroupVersionKind]func() apiruntime.Object{
		flagz.SchemeGroupVersion.WithKind("Flagz"): func() apiruntime.Object { o := now(); return &o },
		flagzalpha.SchemeGroupVersion.WithKind("Flagz"): func() apiruntime.Object {
			o := flagzalpha.Flagz(now())
			o.TypeMeta = typed(flagzalpha.SchemeGroupVersion.WithKind("Flagz"))
			return &o
		},
	}}
}

func typed(kind schema.GroupVersionKind) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: kind.GroupVersion().String(), Kind: kind.Kind}
}

func writeFlags(w io.Writer, flags map[string]string) {
	names := make([]string, 0, len(flags))
	for name := range flags {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		_, _ = fmt.Fprintf(w, "%s=%s\n", name, flags[name])
	}
}

// flags gives the value of each setting by its flag, of those that changed since the start as
// they are now. Secrets are left out.
func (c *config) flags() map[string]string {
	flags, now := map[string]string{}, settings(c.now())
	for i, s := range settings(c) {
		if s.follows() {
			s = now[i]
		}
		flags[s.flag()] = s.value.String()
		if s.secret {
			flags[s.flag()] = classified
		}
	}
	return flags
}

// status writes what Kubernetes' programs show of themselves, and then how this one goes.
func (s *session) status(w io.Writer, now statusz.Statusz) {
	health, census, of := s.owner.Health(), s.provider.Census(), s.owner.Census()
	up := now.UptimeSeconds
	lines := []string{
		"",
		"Started: " + now.StartTime.UTC().Format(time.UnixDate),
		fmt.Sprintf("Up: %d hr %02d min %02d sec", up/3600, up/60%60, up%60),
		"Go version: " + now.GoVersion,
		"Binary version: " + now.BinaryVersion,
		"Paths: " + strings.Join(now.Paths, " "),
		"",
		"Member: " + s.cfg.election.Incarnation,
		"Environments: " + strings.Join(s.cfg.envs, ", "),
		fmt.Sprintf("Bases owned: %d", of.Owned),
		fmt.Sprintf("Their Nodes: %d Ready, %d not", census.Ready, census.NotReady),
		fmt.Sprintf("Oldest Lease: %s, renewed every %s", health.OldestLease.Round(time.Millisecond), health.RenewEvery),
		"Health: /livez /readyz at " + s.cfg.probeAddress,
	}
	for _, note := range s.notes() {
		lines = append(lines, "Note: "+note)
	}
	_, _ = io.WriteString(w, strings.Join(lines, "\n")+"\n")
}
