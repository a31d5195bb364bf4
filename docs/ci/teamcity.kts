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
                scriptContent = "mabuild --platform linux/amd64,linux/arm64 -t registry.example.com/app:%build.number% --push ."
            }
        }
        artifactRules = "mabuild.html"
    }
}
