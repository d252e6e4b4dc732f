package main

import (
	"encoding/json"
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// judgePodSecurity says what Pod Security admission has against a pod in a namespace of the level "restricted". It
// returns the exit code.
func judgePodSecurity(file string) int {
	pod := v1.Pod{}
	text, err := os.ReadFile(file)
	must(err)
	must(json.Unmarshal(text, &pod))
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	must(err)
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	code := 0
	for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			fmt.Printf("%s: %s\n", result.ForbiddenReason, result.ForbiddenDetail)
			code = 1
		}
	}
	return code
}
