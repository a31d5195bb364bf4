// Package native plans a build in which as much as possible runs natively: stages
// that the user moves to the build platform (package pin), and emulated commands
// with native tools (package assist).
//
//	result, err := native.Plan(ctx, options, native.Options{Recipes: assist.Default(), Content: registry})
//	for _, step := range result.Assists {
//		fmt.Println(step.Line, step.Recipe, step.Reason)
//	}
//	edit, changed := result.Edits["linux/arm64"] // to send instead of the Dockerfile
//
// Both are edits of the Dockerfile that is sent, in memory, without moving a line.
// The plan in the result is that of what is sent, so its steps have the digests of
// the build. Without pins and without an emulated command that a recipe knows, it is
// the plan of the Dockerfile as it is, and nothing is edited.
//
// [Result.Copied] and [Result.Wrote] tell the check of the finished image where
// programs for another platform would be the fault of an edit.
package native
