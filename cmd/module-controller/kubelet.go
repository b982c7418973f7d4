package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"module-controller/provider"
	"module-controller/provider/kubelet"
)

// kubeletConfig is of the kubelet's API of Nodes.
type kubeletConfig struct {
	enabled     bool
	port, ports int
	tls         pair
	clientCA    string
}

// newKubeletConfig has the defaults. The port is a kubelet's.
func newKubeletConfig() kubeletConfig { return kubeletConfig{port: 10250, ports: 1024} }

const maxPort = 1<<16 - 1

// validate reports every fault at once. Its ports are those of the replica's address.
func (k kubeletConfig) validate(podIP string, others []listener) error {
	if !k.enabled {
		return nil
	}
	var errs []error
	if podIP == "" {
		errs = append(errs, errors.New("KUBELET_PROXY_ENABLED needs POD_IP, at which the API server finds this replica: set it by the downward API, as the manifests do"))
	}
	last := k.port + k.ports - 1
	if last > maxPort {
		errs = append(errs, fmt.Errorf("KUBELET_PROXY_PORT (%d) and KUBELET_PROXY_PORTS (%d) end at port %d, and there are %d: use fewer", k.port, k.ports, last, maxPort))
	}
	for _, other := range others {
		if n, err := strconv.Atoi(portOf(other.address)); err == nil && n >= k.port && n <= last {
			errs = append(errs, fmt.Errorf("%s (%s) is one of the ports from KUBELET_PROXY_PORT on (%d to %d): change one", other.setting, other.address, k.port, last))
		}
	}
	errs = append(errs, k.tls.check("KUBELET_PROXY_CERT_PATH", "KUBELET_PROXY_KEY_PATH"), k.checkClientCA())
	return errors.Join(errs...)
}

// checkClientCA says what is wrong with the file of authorities.
func (k kubeletConfig) checkClientCA() error {
	if k.clientCA == "" {
		return nil
	}
	text, err := os.ReadFile(k.clientCA)
	if err != nil {
		return fmt.Errorf("KUBELET_PROXY_CLIENT_CA_PATH is of no use: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return fmt.Errorf("KUBELET_PROXY_CLIENT_CA_PATH is of no use: there is no certificate in %s", k.clientCA)
	}
	return nil
}

// makePorts makes the ports at which the kubelet's API of Nodes is served, if it is.
func (s *session) makePorts() error {
	k := s.cfg.kubelet
	if !k.enabled {
		return nil
	}
	host, err := netip.ParseAddr(s.cfg.podIP)
	if err != nil {
		return fmt.Errorf("POD_IP: %w", err)
	}
	s.ports = kubelet.NewPorts(host, k.port, k.ports)
	return nil
}

// makeKubelets makes what serves the kubelet's API of the provider's Nodes, if it is served.
func (s *session) makeKubelets() {
	if s.ports == nil {
		return
	}
	k := s.cfg.kubelet
	s.kubelets = kubelet.New(kubelet.Config{CertFile: k.tls.cert, KeyFile: k.tls.key, ClientCAFile: k.clientCA}, kubelet.Deps{
		Bases: provider.ViewsOf(s.provider), Ports: s.ports, Client: s.api.review, Log: s.log.Named("kubelet"),
	})
}
