// A real kube-apiserver with a real etcd in the same process, to try manifests on: schemas, defaults, Pod Security,
// admission policies. No controller and no kubelet runs behind it: what is applied is judged and kept, and nothing comes
// of it.
//
//	apiserver -root DIR [-port N] [-- FLAG OF KUBE-APISERVER…]
//
// Everything lies in DIR and listens on 127.0.0.1. Whoever sends the token in DIR/token may do everything.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

const etcdStarts = 60 * time.Second

func main() {
	root := flag.String("root", "", "where all files are kept")
	port := flag.Int("port", 6443, "of the API, with TLS; the two after it are etcd's")
	flag.Parse()
	if *root == "" {
		flag.Usage()
		os.Exit(2)
	}
	file := func(name string) string { return filepath.Join(*root, name) }
	client := local(*port + 1)
	must(startEtcd(file("etcd"), client, local(*port+2)))
	must(writeToken(file("token"), file("tokens.csv")))
	must(writeKey(file("service-accounts.pem")))

	command := app.NewAPIServerCommand()
	command.SetArgs(append([]string{
		"--etcd-servers=" + client.String(),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", *port),
		"--cert-dir=" + file("certificates"),
		"--token-auth-file=" + file("tokens.csv"),
		"--authorization-mode=AlwaysAllow",
		"--service-account-issuer=https://127.0.0.1",
		"--service-account-key-file=" + file("service-accounts.pem"),
		"--service-account-signing-key-file=" + file("service-accounts.pem"),
		"--service-cluster-ip-range=10.0.0.0/24",
		// Nobody but 127.0.0.1 is to find it.
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
	}, flag.Args()...))
	os.Exit(cli.Run(command))
}

func startEtcd(folder string, client, peer url.URL) error {
	config := embed.NewConfig()
	config.Dir = folder
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.LogLevel = "error"
	config.UnsafeNoFsync = true // what is in it is thrown away
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	select {
	case <-server.Server.ReadyNotify():
		return nil
	case err := <-server.Err():
		return err
	case <-time.After(etcdStarts):
		return fmt.Errorf("etcd is not ready after %s", etcdStarts)
	}
}

// writeToken writes a token of an administrator, for kube-apiserver and for those who ask it.
func writeToken(token, tokens string) error {
	drawn := make([]byte, 16)
	if _, err := rand.Read(drawn); err != nil {
		return err
	}
	text := hex.EncodeToString(drawn)
	if err := os.WriteFile(tokens, []byte(text+",admin,admin,system:masters\n"), 0o600); err != nil {
		return err
	}
	return os.WriteFile(token, []byte(text), 0o600)
}

// writeKey writes the key by which kube-apiserver signs tokens of service accounts; it does not start without one.
func writeKey(file string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return os.WriteFile(file, pem.EncodeToMemory(block), 0o600)
}

func local(port int) url.URL {
	return url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
