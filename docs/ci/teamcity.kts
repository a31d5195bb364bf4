import jetbrains.buildServer.configs.kotlin.*
import jetbrains.buildServer.configs.kotlin.buildSteps.script

version = "2025.03"

project {
    buildType {
        id("Image")
        name = "Image"
        vcs { root(DslContext.settingsRoot) }
        steps {
            script {
                // Service messages are read on standard output.
                scriptContent = "mabuild --platform linux/amd64,linux/arm64 -t registry.example.com/app:%build.number% --push --report mabuild.html . 2>&1"
            }
        }
        artifactRules = "mabuild.html"
    }
}
